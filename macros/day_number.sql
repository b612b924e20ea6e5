{#- Days since 1970-01-01, as an integer: for differences of dates. -#}
{% macro day_number(day) -%}
    {%- if target.type == 'spark' -%}
        unix_date({{ day }})
    {%- else -%}
        cast(date_diff('day', date '1970-01-01', {{ day }}) as integer)
    {%- endif -%}
{%- endmacro %}
