{#- Each of the last seven days that is an expected weekday has events. -#}
with

days as (select * from {{ ref('days') }}),

build_window as (select * from {{ ref('build_window') }}),

recent as (

    select days.day
    from days
    inner join build_window on days.day > {{ add_days('build_window.data_through', -7) }}

),

days_with_events as (

    select distinct events.event_date
    from {{ ref('stg_events') }} as events
    inner join build_window on events.event_date > {{ add_days('build_window.data_through', -7) }}

)

select
    recent.day,
    0 as found,
    'at least 1' as allowed
from recent
left join days_with_events on recent.day = days_with_events.event_date
where
    days_with_events.event_date is null
    and {{ weekday('recent.day') }} in ({{ ([0] + domain_settings().expected_weekdays) | join(', ') }})
