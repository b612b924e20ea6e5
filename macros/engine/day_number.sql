{#- Days since 1970-01-01 as an integer, for differences of dates. -#}
{% macro day_number(day) %}{{ return(adapter.dispatch('day_number', 'churnhouse')(day)) }}{% endmacro %}

{% macro duckdb__day_number(day) -%}
    cast(date_diff('day', date '1970-01-01', {{ day }}) as integer)
{%- endmacro %}

{% macro spark__day_number(day) -%}
    unix_date({{ day }})
{%- endmacro %}
