{#- Whether gates look at new rows only: in a build that goes on from an earlier one. -#}
{% macro only_new_rows() -%}
    {{ return(
        execute
        and flags.WHICH == 'build'
        and not flags.FULL_REFRESH
        and adapter.get_relation(target.database, target.schema, 'build_marks') is not none
    ) }}
{%- endmacro %}
