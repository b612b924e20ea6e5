{% set asked_for = var('rewrite_from', none) %}

with

events as {{ in_place() }} (select * from {{ ref('stg_events') }}),

changed_users as (select * from {{ ref('changed_users') }}),

files as (select * from {{ source('raw', 'files') }}),

arrived as (select max(ingested_at) as ingested_through from files),

-- the ends of an order, and not min and max: DuckDB finds them without reading what lies between.
-- The day of arrival itself is not over: it is complete when a later day has brought its rest
days as (

    select
        (select event_date from events order by event_date limit 1) as data_from,
        least(
            (select event_date from events order by event_date desc limit 1),
            (select {{ add_days('cast(ingested_through as date)', -1) }} from arrived)
        ) as data_through

),

known_events as {{ in_place() }} (

    select * from events
    where written_at <= {{ last_build('ingested_through') }}

),

-- of what the last build knew, the days that still count: later ones may be gone from day tables
known as (

    select
        (select event_date from known_events order by event_date limit 1) as data_from,
        (select event_date from known_events order by event_date desc limit 1) as data_through

),

-- all users have a row of every day: new days are new to all, those before what was the first too
written as (

    select
        days.data_from,
        days.data_through,
        case
            when known.data_from = days.data_from
                then greatest(
                    days.data_from,
                    least(
                        {{ add_days('least(' ~ last_build('data_through') ~ ', known.data_through)', 1) }},
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
