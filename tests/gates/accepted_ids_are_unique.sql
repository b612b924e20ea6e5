{#- No event_id is accepted twice, in this build or earlier ones. Keys are counted first, since numbers
    are faster than text; two ids may share a key, so the text decides. -#}
with

events as {{ in_place() }} (select * from {{ ref('int_events_validated') }}),

repeated_keys as (

    select event_key
    from events
    {% if only_new_rows() -%}
    where event_key in (select distinct event_key from {{ new_rows(ref('int_events_validated')) }})
    {%- endif %}
    group by event_key
    having sum(case when reject_reason is null then 1 end) > 1

),

verdicts as (

    select
        event_id,
        sum(case when reject_reason is null then 1 end) as times_accepted
    from events
    where event_key in (select repeated_keys.event_key from repeated_keys)
    group by event_id

)

select
    event_id,
    times_accepted as found,
    1 as allowed
from verdicts
where times_accepted > 1
