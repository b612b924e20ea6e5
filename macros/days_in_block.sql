{#- Days of a day table that DuckDB writes with one statement: ten of a million users fit in memory, and fewer
    would only cost more statements. -#}
{% macro days_in_block() -%}
    {{ return(10) }}
{%- endmacro %}
