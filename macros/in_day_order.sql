{#- The end of a day table's query: DuckDB skips what is laid down in day order; Spark has a folder a
    day, filled by the hint `rebalance`, which DuckDB takes for a comment. -#}
{% macro in_day_order(day) -%}
    {%- if target.type == 'duckdb' %}order by {{ day }}{% endif -%}
{%- endmacro %}
