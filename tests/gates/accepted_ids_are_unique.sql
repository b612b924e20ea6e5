{#- No event_id is accepted twice, neither in this build nor in one before it. -#}
with

events as {{ in_place() }} (select * from {{ ref('stg_events_checked') }}),

new_events as (select * from {{ new_rows(ref('stg_events_checked')) }}),

verdicts as (

    select
        event_id,
        sum(case when reject_reason is null then 1 else 0 end) as times_accepted
    from events
    where event_key in (select new_events.event_key from new_events)
    group by event_id

)

select
    event_id,
    times_accepted as found,
    1 as allowed
from verdicts
where times_accepted > 1
