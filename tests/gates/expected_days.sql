{#- Each of the last seven days that is an expected weekday has events, unless the domain names it as
    unknown. -#}
{% set settings = domain_settings() %}
{% set week_before = add_days(window_day(ref('build_window'), 'data_through'), -7) %}
with

days as (select * from {{ ref('days') }}),

recent as (

    select day from days
    where day > {{ week_before }}

),

days_with_events as (

    select distinct event_date
    from {{ ref('accepted_events') }}
    where event_date > {{ week_before }}

)

select
    recent.day,
    0 as found,
    'at least 1; if its data is lost, name the day in unknown_days' as allowed
from recent
left join days_with_events on recent.day = days_with_events.event_date
where
    days_with_events.event_date is null
    and {{ weekday('recent.day') }} in ({{ ([0] + settings.expected_weekdays) | join(', ') }})
    and not ({{ one_of('recent.day', settings.unknown_days) }})
