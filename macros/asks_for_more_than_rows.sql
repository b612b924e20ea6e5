{#- Whether a table or a view asks for what dbt's own materialization does besides: hooks, a contract, an index,
    comments in the database, a statement before its own. -#}
{% macro asks_for_more_than_rows() -%}
    {{ return(
        pre_hooks or post_hooks or config.get('contract').enforced or config.get('indexes')
        or config.get('persist_docs') or config.get('sql_header')
    ) }}
{%- endmacro %}
