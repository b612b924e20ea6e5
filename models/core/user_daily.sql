{{ config(
    materialized='incremental',
    unique_key='day',
    partition_by=on_spark('day'),
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_within_build_window('day') }}"
) }}
{% set columns = additive_columns(domain_settings().measures) %}

with

users as (select * from {{ ref('stg_users') }}),

span as (

    select
        data_from,
        {{ first_day_to_write() }} as first_day,
        data_through as last_day
    from {{ ref('build_window') }}

),

days as (

    select days.day
    from {{ ref('days') }} as days
    inner join span on days.day between span.first_day and span.last_day

),

events as (

    select events.*
    from {{ ref('stg_events') }} as events
    inner join span on events.event_date between span.first_day and span.last_day

),

user_days as (

    select
        users.user_id,
        days.day
    from users
    inner join days on users.signup_date <= days.day

),

active_days as (

    select
        user_id,
        event_date as day,
        bool_or(is_activity) as is_active,
        {% for column in columns -%}
            sum({{ added(column) }}) as {{ column.name }}{{ ',' if not loop.last }}
        {% endfor %}
    from events
    group by user_id, event_date

),

-- how far the totals had come on the day before the first
carried as (

    {% if is_incremental() -%}
        select carried.*
        from {{ this }} as carried
        inner join span
            on carried.day = {{ add_days('span.first_day', -1) }} and carried.day >= span.data_from
    {%- else -%}
        select
            user_id,
            {% for column in columns -%}
                0 as {{ column.name }}_total,
            {% endfor -%}
            0 as active_days_total,
            cast(null as date) as last_active_on
        from users
        where false
    {%- endif %}

)

select /*+ rebalance(day) */
    user_days.user_id,
    user_days.day,
    cast(coalesce(active_days.is_active, false) as boolean) as is_active,
    {% for column in columns -%}
        cast(coalesce(active_days.{{ column.name }}, 0) as {{ column.type }}) as {{ column.name }},
    {% endfor -%}
    {% for column in columns -%}
        cast(
            coalesce(carried.{{ column.name }}_total, 0)
            + coalesce(sum(active_days.{{ column.name }}) over so_far, 0) as {{ column.type }}
        ) as {{ column.name }}_total,
    {% endfor -%}
    cast(
        coalesce(carried.active_days_total, 0)
        + count(case when active_days.is_active then 1 end) over so_far as integer
    ) as active_days_total,
    coalesce(
        max(case when active_days.is_active then active_days.day end) over so_far,
        carried.last_active_on
    ) as last_active_on
from user_days
left join active_days
    on user_days.user_id = active_days.user_id and user_days.day = active_days.day
left join carried on user_days.user_id = carried.user_id
window so_far as (
    partition by user_days.user_id
    order by user_days.day
    rows between unbounded preceding and current row
)
{{ in_day_order('user_days.day') }}
