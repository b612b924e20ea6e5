{#- Nothing is lost or counted twice between accepted events and user_daily: over the days that the
    build wrote each additive column adds up to the same, and so do its running totals' gains. -#}
{% set columns = additive_columns(domain_settings().measures) %}
with

span as (

    select
        {{ 'rewrite_from' if only_new_rows() else 'data_from' }} as first_day,
        data_through as last_day
    from {{ ref('build_window') }}

),

events as (

    select events.*
    from {{ ref('stg_events') }} as events
    inner join span on events.event_date between span.first_day and span.last_day

),

user_daily as (

    select user_daily.*
    from {{ ref('user_daily') }} as user_daily
    inner join span on user_daily.day between {{ add_days('span.first_day', -1) }} and span.last_day

),

new_days as (

    select user_daily.*
    from user_daily
    inner join span on user_daily.day >= span.first_day

),

last_day as (

    select user_daily.*
    from user_daily
    inner join span on user_daily.day = span.last_day

),

day_before as (

    select user_daily.*
    from user_daily
    inner join span on user_daily.day < span.first_day

),

sums as (

    {% for column in columns -%}
        select
            '{{ column.name }}' as column_name,
            (select coalesce(sum({{ added(column) }}), 0) from events) as accepted,
            (select coalesce(sum({{ column.name }}), 0) from new_days) as daily,
            (select coalesce(sum({{ column.name }}_total), 0) from last_day)
            - (select coalesce(sum({{ column.name }}_total), 0) from day_before) as total
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    column_name,
    concat(daily, ' in user_daily, ', total, ' in its totals') as found,
    concat(accepted, ' in stg_events') as allowed
from sums
where daily <> accepted or total <> accepted
