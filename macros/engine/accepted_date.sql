{#- The column to find accepted events by date. Rejected rows may have any event_date, so DuckDB skips
    more by touches_date; Spark's folders are named by event_date. -#}
{% macro accepted_date() %}{{ return(adapter.dispatch('accepted_date', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__accepted_date() %}touches_date{% endmacro %}

{% macro spark__accepted_date() %}event_date{% endmacro %}
