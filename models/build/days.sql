{% set settings = domain_settings() %}
{% set windows = settings.feature_windows_days %}

with

span as (select * from {{ ref('data_span') }}),

all_days as (select {{ day_series('data_from', 'data_through') }} as day from span),

volumes as (

    select
        event_date,
        count(*) as events
    from {{ ref('accepted_events') }}
    group by event_date

),

weekdays as (

    select
        all_days.day,
        {{ weekday('all_days.day') }} as weekday,
        coalesce(volumes.events, 0) as events
    from all_days
    left join volumes on all_days.day = volumes.event_date

),

-- weekdays on which events are expected: the domain's, or those that mostly have some
expected as (

    select weekday
    from weekdays
    group by weekday
    having
        {% if settings.expected_weekdays -%}
        weekday in ({{ settings.expected_weekdays | join(', ') }})
        {%- else -%}
        avg(case when events > 0 then 1e0 else 0e0 end) > 0.5
        {%- endif %}

),

judged as (

    select
        weekdays.day,
        {{ one_of('weekdays.day', settings.unknown_days) }}
        {% if settings.silent_days == 'unknown' -%}
        or (weekdays.events = 0 and expected.weekday is not null)
        {%- endif %} as is_unknown
    from weekdays
    left join expected on weekdays.weekday = expected.weekday

),

counted as (

    select
        day,
        is_unknown,
        cast(sum(case when is_unknown then 0 else 1 end) over (order by day) as integer) as known_days,
        cast(sum(case when is_unknown then 1 else 0 end) over (order by day) as integer) as unknown_days
    from judged

),

-- the last day of each number of known days
last_days as (

    select
        known_days,
        max(day) as day
    from counted
    group by known_days

)

-- back_n: the day before the first of the n known days that end here
select
    counted.day,
    counted.is_unknown,
    counted.known_days,
    counted.unknown_days,
    {% for n in windows -%}
    back_{{ n }}.day as back_{{ n }}{{ ',' if not loop.last }}
    {% endfor %}
from counted
{% for n in windows -%}
left join last_days as back_{{ n }} on counted.known_days - {{ n }} = back_{{ n }}.known_days
{% endfor %}
