{#- The rows that dbt's generic tests read: those of the test's own `where`, else new_rows. -#}
{% macro get_where_subquery(relation) -%}
    {{ return(dbt.default__get_where_subquery(relation) if config.get('where') else new_rows(relation)) }}
{%- endmacro %}
