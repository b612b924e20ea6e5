{#- For a CTE over a large table that is used more than once: DuckDB would copy the whole table first.
    Spark never does. -#}
{% macro in_place() %}{{ return(adapter.dispatch('in_place', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__in_place() %}not materialized{% endmacro %}

{% macro spark__in_place() %}{% endmacro %}
