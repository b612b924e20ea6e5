{#- The date a number of days after (or before) another. -#}
{% macro add_days(day, days) -%}
    {%- if target.type == 'spark' -%}
        date_add({{ day }}, {{ days }})
    {%- else -%}
        cast({{ day }} + interval ({{ days }}) day as date)
    {%- endif -%}
{%- endmacro %}
