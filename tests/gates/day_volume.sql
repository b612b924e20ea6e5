{#- Each of the last seven days has at least min_day_share of the median of the 28 days before it. -#}
{% set min_share = domain_settings().min_day_share %}
{% set data_through = window_day(ref('build_window'), 'data_through') %}
with

days as (select * from {{ ref('days') }}),

counts as (

    select
        event_date,
        count(*) as volume
    from {{ ref('accepted_events') }}
    where event_date > {{ add_days(data_through, -35) }}
    group by event_date

),

volumes as (

    select
        days.day,
        coalesce(counts.volume, 0) as volume
    from days
    left join counts on days.day = counts.event_date
    where
        days.day > {{ add_days(data_through, -35) }}
        -- days that the domain names, and outages, are no measure of what is usual
        and not days.is_unknown

),

compared as (

    select
        volumes.day,
        volumes.volume,
        median(earlier.volume) as usual
    from volumes
    left join volumes as earlier
        on
            volumes.day > earlier.day
            and earlier.day >= {{ add_days('volumes.day', -28) }}
    group by volumes.day, volumes.volume

)

select
    day,
    volume as found,
    concat('at least ', {{ min_share }} * usual) as allowed
from compared
where
    day > {{ add_days(data_through, -7) }}
    and volume < {{ min_share }} * usual
