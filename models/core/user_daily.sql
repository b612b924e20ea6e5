{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='day',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_within_build_window('day') }}"
) }}
{% set columns = additive_columns(domain_settings().measures) %}

with

users as (select * from {{ ref('stg_users') }}),

span as (

    select
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

{% if is_incremental() %}
-- running totals and last activity at the end of the day before
carried as (

    select carried.*
    from {{ this }} as carried
    inner join span on carried.day = {{ add_days('span.first_day', -1) }}

),
{% endif %}

user_days as (

    select
        users.user_id,
        days.day
    from users
    inner join days on users.signup_date <= days.day

),

active as (

    select
        user_id,
        event_date as day,
        bool_or(is_activity) as is_active,
        {% for column in columns -%}
            sum(
                {%- if column.event_type %}case when event_type = '{{ column.event_type }}' then {{ column.adds }} end
                {%- else %}{{ column.adds }}{% endif -%}
            ) as {{ column.name }}{{ ',' if not loop.last }}
        {% endfor %}
    from events
    group by user_id, event_date

)

select
    user_days.user_id,
    user_days.day,
    cast(coalesce(active.is_active, false) as boolean) as is_active,
    {% for column in columns -%}
        cast(coalesce(active.{{ column.name }}, 0) as {{ column.type }}) as {{ column.name }},
    {% endfor -%}
    {% for column in columns -%}
        cast(
            {% if is_incremental() -%}
                coalesce(carried.{{ column.name }}_total, 0) +
            {%- endif %}
            coalesce(sum(active.{{ column.name }}) over so_far, 0)
            as {{ column.type }}
        ) as {{ column.name }}_total,
    {% endfor -%}
    cast(
        {% if is_incremental() -%}
            coalesce(carried.active_days_total, 0) +
        {%- endif %}
        count(case when active.is_active then 1 end) over so_far
        as integer
    ) as active_days_total,
    cast(
        {% if is_incremental() -%}
            greatest(carried.last_active_on, max(case when active.is_active then active.day end) over so_far)
        {%- else -%}
            max(case when active.is_active then active.day end) over so_far
        {%- endif %}
        as date
    ) as last_active_on
from user_days
left join active on user_days.user_id = active.user_id and user_days.day = active.day
{% if is_incremental() -%}
    left join carried on user_days.user_id = carried.user_id
{%- endif %}
window so_far as (
    partition by user_days.user_id
    order by user_days.day
    rows between unbounded preceding and current row
)
order by user_days.day
