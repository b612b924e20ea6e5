{#- No row of the newest load says something else than an accepted row of an earlier load with the same
    event_id: it is a correction, which would be lost. With a version it would count. -#}
with

events as {{ in_place() }} (select * from {{ ref('int_events_validated') }}),

newest_load as (select max(ingested_at) as ingested_at from events),

lost as (

    select
        events.event_id,
        events.event_key,
        events.ingested_at
    from events
    inner join newest_load on events.ingested_at = newest_load.ingested_at
    where events.reject_reason = 'duplicate_event_id' and events.version is null

),

corrections as (

    select lost.event_id
    from lost
    inner join events on lost.event_key = events.event_key and lost.event_id = events.event_id
    where events.reject_reason is null and events.ingested_at < lost.ingested_at

)

select
    min(event_id) as event_id,
    concat(count(*), ' corrections of events that are loaded') as found,
    '0: give events a version or updated_at, so that the newest counts' as allowed
from corrections
having count(*) > 0
