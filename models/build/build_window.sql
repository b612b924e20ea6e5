{% set asked_for = var('rewrite_from', none) %}

with

changed_users as (select * from {{ ref('changed_users') }}),

days as (select * from {{ ref('days') }}),

span as (select * from {{ ref('data_span') }}),

-- days that are unknown now and were not, or the other way round: every user's windows change
changed_days as (

    select min(day) as changed_from
    from days
    where is_unknown <> ({{ last_build('unknown_days') }} like concat('%', day, '%'))

),

-- if data now starts on another day than before, windows and silences of all users may change
written as (

    select
        span.data_from,
        span.data_through,
        span.ingested_through,
        case
            when
                {{ last_build('data_from') }} = span.data_from
                and coalesce({{ broken_off_build('data_from') }}, span.data_from) = span.data_from
                then greatest(
                    span.data_from,
                    least(
                        {{ add_days(last_build('data_through'), 1) }},
                        changed_days.changed_from,
                        {{ broken_off_build('new_from') }},
                        {{ add_days(broken_off_build('data_through'), 1) }},
                        {{ "date '" ~ (asked_for or '9999-12-31') ~ "'" }}
                    )
                )
            else span.data_from
        end as new_from
    from span
    cross join changed_days

)

select
    cast({{ next_build_number() }} as integer) as build_number,
    data_from,
    data_through,
    new_from,
    greatest(
        data_from,
        least(new_from, coalesce((select min(changed_from) from changed_users), date '9999-12-31'))
    ) as rewrite_from,
    ingested_through
from written
