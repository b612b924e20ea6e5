{#- The date a number of days after (or before) another. -#}
{% macro add_days(day, days) -%}
    cast({{ day }} + interval ({{ days }}) day as date)
{%- endmacro %}
