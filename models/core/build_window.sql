{% set settings = domain_settings() %}

with

events as {{ in_place() }} (select * from {{ ref('stg_events_checked') }}),

records as (select * from {{ ref('stg_user_records') }}),

files as (select * from {{ source('raw', 'files') }}),

last_build as (

    select
        {{ last_build('ingested_through') }} as ingested_through,
        {{ last_build('data_through') }} as data_through

),

arrived as (select max(ingested_at) as ingested_through from files),

-- the day of arrival itself is not over: it is complete when a later day has brought its rest
days as (

    select
        min(event_date) as data_from,
        least(
            max(event_date),
            (select {{ add_days('cast(ingested_through as date)', -1) }} from arrived)
        ) as data_through
    from events
    where reject_reason is null

),

changed_events as (

    select min(touches_date) as changed_from
    from events
    where written_at > (select ingested_through from last_build)

),

changed_records as (

    select min(valid_from) as changed_from
    from records
    where ingested_at > (select ingested_through from last_build)

),

moved_users as (

    select
        user_id,
        min(least(signup_date, valid_from)) as changed_from
    from records
    group by user_id
    having {{ signup_moved(settings, '(select ingested_through from last_build)') }}

)

select
    days.data_from,
    days.data_through,
    case
        when last_build.ingested_through is null then days.data_from
        else greatest(
            days.data_from,
            least(
                {{ add_days('last_build.data_through', 1) }},
                {% if var('rewrite_from', none) %}date '{{ var('rewrite_from') }}',{% endif %}
                (select changed_from from changed_events),
                (select changed_from from changed_records),
                (select min(changed_from) from moved_users)
            )
        )
    end as rewrite_from,
    arrived.ingested_through
from days
cross join arrived
cross join last_build
