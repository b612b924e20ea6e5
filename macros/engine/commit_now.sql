{#- Commit what a start or end hook wrote; dbt would roll it back. Spark commits each statement. -#}
{% macro commit_now() %}{{ return(adapter.dispatch('commit_now', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__commit_now() %}{% do adapter.commit() %}{% endmacro %}

{% macro spark__commit_now() %}{% endmacro %}
