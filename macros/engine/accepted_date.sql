{#- The column of int_events_validated that holds an accepted event's date. DuckDB skips row groups by it:
    event_date also has the wild dates of rejected rows, touches_date has none. Spark's folders are named by
    event_date. -#}
{% macro accepted_date() %}{{ return(adapter.dispatch('accepted_date', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__accepted_date() %}touches_date{% endmacro %}

{% macro spark__accepted_date() %}event_date{% endmacro %}
