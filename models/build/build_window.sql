{% set asked_for = var('rewrite_from', none) %}

with

events as {{ in_place() }} (select * from {{ ref('accepted_events') }}),

changed_users as (select * from {{ ref('changed_users') }}),

files as (select * from {{ source('raw', 'files') }}),

arrived as (select max(ingested_at) as ingested_through from files),

known_events as {{ in_place() }} (

    select * from events
    where written_at <= {{ last_build('ingested_through') }}

),

-- the day of the newest arrival is not over, so it does not count yet
days as (

    select
        {{ first_in_order('events', 'event_date') }} as data_from,
        least(
            {{ first_in_order('events', 'event_date', 'desc') }},
            (select {{ add_days('cast(ingested_through as date)', -1) }} from arrived)
        ) as data_through

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

-- if data now starts earlier than before, every user needs those days, so all days are written
written as (

    select
        days.data_from,
        days.data_through,
        case
            when known.data_from = days.data_from
                then greatest(
                    days.data_from,
                    least(
                        {{ add_days('known.data_through', 1) }},
                        cast({{ "'" ~ asked_for ~ "'" if asked_for else 'null' }} as date)
                    )
                )
            else days.data_from
        end as new_from
    from days
    cross join known

)

select
    written.data_from,
    written.data_through,
    written.new_from,
    greatest(
        written.data_from,
        least(written.new_from, (select min(changed_from) from changed_users))
    ) as rewrite_from,
    arrived.ingested_through
from written
cross join arrived
