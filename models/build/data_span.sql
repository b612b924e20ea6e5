with

events as {{ in_place() }} (select * from {{ ref('accepted_events') }}),

files as (select * from {{ source('raw', 'files') }}),

arrived as (select max(ingested_at) as ingested_through from files)

-- the day of the newest arrival is not over, so it does not count yet
select
    {{ first_in_order('events', 'event_date') }} as data_from,
    least(
        {{ first_in_order('events', 'event_date', 'desc') }},
        {{ add_days(local_date('ingested_through'), -1) }}
    ) as data_through,
    ingested_through
from arrived
