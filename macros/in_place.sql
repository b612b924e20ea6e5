{#- How a CTE that names a large table is read where it is used more than once: in place, each time what
    is needed of it. DuckDB would copy all of it first; Spark never does. -#}
{% macro in_place() -%}
    {{ 'not materialized' if target.type == 'duckdb' }}
{%- endmacro %}
