{#- How a CTE over a large table is read where it is used more than once. Without it DuckDB copies the whole
    table first; Spark never does. -#}
{% macro in_place() %}{{ return(adapter.dispatch('in_place', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__in_place() %}not materialized{% endmacro %}

{% macro spark__in_place() %}{% endmacro %}
