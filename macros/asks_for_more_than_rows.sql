{#- Whether a table or a view asks for what only dbt's own materialization does: constraints, an index, comments in
    the database, a statement before its own. -#}
{% macro asks_for_more_than_rows() -%}
    {{ return(
        model.constraints or model.columns.values() | selectattr('constraints') | list
        or config.get('indexes') or config.get('persist_docs') or config.get('sql_header')
    ) }}
{%- endmacro %}
