{#- What dbt's generic tests read. -#}
{% macro get_where_subquery(relation) -%}
    {{ return(new_rows(relation)) }}
{%- endmacro %}
