{#- How dbt-spark writes an increment: it replaces whole days. If the unique_key is finer than the day,
    the increment has only changed rows, so the other rows of its days are written too. -#}
{% macro get_insert_overwrite_sql(source_relation, target_relation, existing_relation) %}
    {%- set day, key = config.get('partition_by'), config.get('unique_key') -%}
    {%- set columns = adapter.get_columns_in_relation(target_relation) | map(attribute='quoted') | join(', ') %}
    insert overwrite table {{ target_relation }} partition ({{ day }})
    select {{ columns }} from {{ source_relation }}
    {%- if key != day %}
    union all
    select {{ columns }} from {{ target_relation }} as kept
    where
        exists (select 1 from {{ source_relation }} as new where new.{{ day }} <=> kept.{{ day }})
        and not exists (select 1 from {{ source_relation }} as new where new.{{ key }} = kept.{{ key }})
    {%- endif %}
{% endmacro %}
