{#- No event_id is accepted twice, neither in this build nor in one before it. -#}
with

events as (

    select
        event_id,
        event_key
    from {{ ref('stg_events_checked') }}
    where reject_reason is null

),

new_events as (select * from {{ new_rows(ref('stg_events_checked')) }})

select
    event_id,
    count(*) as found,
    1 as allowed
from events
where event_key in (select distinct new_events.event_key from new_events)
group by event_id
having count(*) > 1
