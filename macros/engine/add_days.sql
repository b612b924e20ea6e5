{#- The date `days` after `day`; before it if `days` is negative. -#}
{% macro add_days(day, days) %}{{ return(adapter.dispatch('add_days', 'churnhouse')(day, days)) }}{% endmacro %}

{% macro duckdb__add_days(day, days) -%}
    cast({{ day }} + interval ({{ days }}) day as date)
{%- endmacro %}

{% macro spark__add_days(day, days) -%}
    date_add({{ day }}, {{ days }})
{%- endmacro %}
