{#- What dbt's generic tests read: where a test has a `where` of its own, the rows that this names. -#}
{% macro get_where_subquery(relation) -%}
    {{ return(dbt.default__get_where_subquery(relation) if config.get('where') else new_rows(relation)) }}
{%- endmacro %}
