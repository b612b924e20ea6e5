{% set asked_for = var('rewrite_from', none) %}

with

events as {{ in_place() }} (select * from {{ ref('accepted_events') }}),

changed_users as (select * from {{ ref('changed_users') }}),

days as (select * from {{ ref('days') }}),

span as (select * from {{ ref('data_span') }}),

known_events as {{ in_place() }} (

    select * from events
    where written_at <= {{ last_build('ingested_through') }}

),

-- the days that the last build wrote and that still count: its last events may since be rejected
known as (

    select
        {{ first_in_order('known_events', 'event_date') }} as data_from,
        least(
            {{ first_in_order('known_events', 'event_date', 'desc') }},
            {{ last_build('data_through') }}
        ) as data_through

),

-- days that are unknown now and were not, or the other way round: every user's windows change
changed_days as (

    select min(day) as changed_from
    from days
    where is_unknown <> ({{ last_build('unknown_days') }} like concat('%', day, '%'))

),

-- if data now starts earlier than before, every user needs those days, so all days are written
written as (

    select
        span.data_from,
        span.data_through,
        span.ingested_through,
        case
            when known.data_from = span.data_from
                then greatest(
                    span.data_from,
                    least(
                        {{ add_days('known.data_through', 1) }},
                        coalesce(changed_days.changed_from, date '9999-12-31'),
                        {{ "date '" ~ (asked_for or '9999-12-31') ~ "'" }}
                    )
                )
            else span.data_from
        end as new_from
    from span
    cross join known
    cross join changed_days

)

select
    data_from,
    data_through,
    new_from,
    greatest(
        data_from,
        least(new_from, coalesce((select min(changed_from) from changed_users), date '9999-12-31'))
    ) as rewrite_from,
    ingested_through
from written
