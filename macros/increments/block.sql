{#- The first and last day that one statement of a day table writes. DuckDB treats session variables like
    literals and skips all other days. On Spark one statement writes all days. -#}
{% macro block_start() %}{{ return(adapter.dispatch('block_start', 'churnhouse')()) }}{% endmacro %}

{% macro block_end() %}{{ return(adapter.dispatch('block_end', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__block_start() %}cast(getvariable('block_start') as date){% endmacro %}

{% macro duckdb__block_end() %}cast(getvariable('block_end') as date){% endmacro %}

{% macro spark__block_start() %}{{ return(window_day(build_window(), 'rewrite_from', days_ahead())) }}{% endmacro %}

{% macro spark__block_end() %}{{ return(window_day(build_window(), 'data_through', days_ahead())) }}{% endmacro %}
