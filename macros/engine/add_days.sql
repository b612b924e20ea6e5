{#- The date a number of days after another; before it where the number is negative. -#}
{% macro add_days(day, days) %}{{ return(adapter.dispatch('add_days', 'churnhouse')(day, days)) }}{% endmacro %}

{% macro duckdb__add_days(day, days) -%}
    cast({{ day }} + interval ({{ days }}) day as date)
{%- endmacro %}

{% macro spark__add_days(day, days) -%}
    date_add({{ day }}, {{ days }})
{%- endmacro %}
