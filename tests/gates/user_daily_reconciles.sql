{#- Nothing is lost or counted twice between accepted events and user_daily: each additive column adds
    up to the same, and so do its running totals on the last day. -#}
{% set columns = additive_columns(domain_settings().measures) %}
with

build_window as (select * from {{ ref('build_window') }}),

events as (

    select events.*
    from {{ ref('stg_events') }} as events
    inner join build_window on events.event_date <= build_window.data_through

),

user_daily as (select * from {{ ref('user_daily') }}),

last_day as (

    select user_daily.*
    from user_daily
    inner join build_window on user_daily.day = build_window.data_through

),

sums as (

    {% for column in columns -%}
        select
            '{{ column.name }}' as column_name,
            (select coalesce(sum({{ added(column) }}), 0) from events) as accepted,
            (select coalesce(sum({{ column.name }}), 0) from user_daily) as daily,
            (select coalesce(sum({{ column.name }}_total), 0) from last_day) as total
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    column_name,
    concat(daily, ' in user_daily, ', total, ' in its totals') as found,
    concat(accepted, ' in stg_events') as allowed
from sums
where daily <> accepted or total <> accepted
