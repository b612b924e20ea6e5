{{ config(
    materialized='day_table', day='day', sort=true, starts_as="{{ user_daily_without_rows() }}"
) }}
{% set columns = additive_columns(domain_settings().measures) %}

with

users as (

    select
        user_id,
        data_from,
        greatest(data_from, rewrite_from, {{ block_start() }}) as first_day
    from {{ ref('user_windows') }}
    where greatest(data_from, rewrite_from) <= {{ block_end() }}

),

events as (

    select events.*
    from {{ ref('accepted_events') }} as events
    inner join users on events.user_id = users.user_id and events.event_date >= users.first_day
    where events.event_date between {{ block_start() }} and {{ block_end() }}

),

-- each user's row of the day before first_day, whose totals continue
carried as (

    select written.*
    from {{ this }} as written
    inner join users
        on
            written.user_id = users.user_id
            and written.day >= users.data_from
            and written.day = {{ add_days('users.first_day', -1) }}
    where written.day between {{ add_days(block_start(), -1) }} and {{ add_days(block_end(), -1) }}

),

-- totals change only on days with events; a row without events opens first_day with the carried totals
steps as (

    select
        users.user_id,
        users.first_day as day,
        false as has_events,
        carried.last_active_on,
        carried.active_days_total as active_days,
        {{ select_list(columns, 'carried.{name}_total as {quoted}') }}
    from users
    left join carried on users.user_id = carried.user_id
    union all
    select
        user_id,
        event_date as day,
        true as has_events,
        max(case when is_activity then event_date end) as last_active_on,
        max(case when is_activity then 1 else 0 end) as active_days,
        {{ select_list(columns, 'sum({adds}) as {quoted}') }}
    from events
    group by user_id, event_date

),

running as (

    select
        steps.*,
        max(last_active_on) over so_far as last_active_so_far,
        sum(active_days) over so_far as active_days_total,
        {{ select_list(columns, 'sum({quoted}) over so_far as {name}_total') }},
        coalesce({{ add_days('lead(day) over so_far', -1) }}, {{ block_end() }}) as holds_through
    from steps
    window so_far as (partition by user_id order by day, has_events)

),

-- one row for each day until the next step; the totals stay the same
held as (

    select
        running.*,
        {{ day_series('day', 'holds_through') }} as held_on
    from running
    where day <= holds_through

),

days as (

    select
        *,
        has_events and held_on = day as is_eventful
    from held

)

select
    user_id,
    held_on as day,
    is_eventful and active_days = 1 as is_active,
    {{ select_list(
        columns, 'cast(case when is_eventful then coalesce({quoted}, 0) else 0 end as {type}) as {quoted}'
    ) }},
    {{ select_list(columns, 'cast(coalesce({name}_total, 0) as {type}) as {name}_total') }},
    cast(coalesce(active_days_total, 0) as integer) as active_days_total,
    last_active_so_far as last_active_on
from days
