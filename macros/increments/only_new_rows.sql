{#- True if tests read only new rows: in an incremental build, unless a node failed when it last ran,
    since what a failed build wrote has not passed yet. -#}
{% macro only_new_rows() -%}
    {%- if
        execute
        and flags.WHICH == 'build'
        and not flags.FULL_REFRESH
        and adapter.get_relation(target.database, target.schema, 'build_log') is not none
    -%}
        {%- set names = graph.nodes.values() | map(attribute='name') | join("', '") -%}
        {%- set failed -%}
            select node
            from {{ source('ml', 'dbt_run_results') }}
            where resource_type <> 'source' and node in ('{{ names }}')
            group by node
            having max_by(status, coalesce(run_number, 0)) in ('fail', 'error')
        {%- endset -%}
        {{ return(run_query(failed).rows | length == 0) }}
    {%- endif -%}
    {{ return(false) }}
{%- endmacro %}
