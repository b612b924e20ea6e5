{#- SQL of user_daily without rows. The model reads its own rows of the day before, so its own query
    cannot create it. -#}
{% macro user_daily_without_rows() -%}
    {%- set columns = additive_columns(domain_settings().measures) -%}
    select
        cast(null as string) as user_id,
        cast(null as date) as day,
        cast(null as boolean) as is_active,
        {{ select_list(columns, 'cast(null as {type}) as {quoted}') }},
        {{ select_list(columns, 'cast(null as {type}) as {name}_total') }},
        cast(null as integer) as active_days_total,
        cast(null as date) as last_active_on
{%- endmacro %}
