{#- Each of the last seven days that is an expected weekday has events. -#}
with

days as (select * from {{ ref('days') }}),

build_window as (select * from {{ ref('build_window') }}),

events as (select * from {{ ref('stg_events') }}),

recent as (

    select days.day
    from days
    inner join build_window on days.day > {{ add_days('build_window.data_through', -7) }}

)

select
    recent.day,
    count(events.event_id) as found,
    'at least 1' as allowed
from recent
left join events on recent.day = events.event_date
where {{ weekday('recent.day') }} in ({{ ([0] + domain_settings().expected_weekdays) | join(', ') }})
group by recent.day
having count(events.event_id) = 0
