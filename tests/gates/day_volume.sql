{#- None of the last seven days has less than min_day_share of the median of the 28 days before it. -#}
with

days as (select * from {{ ref('days') }}),

build_window as (select * from {{ ref('build_window') }}),

counts as (

    select
        events.event_date,
        count(*) as volume
    from {{ ref('stg_events') }} as events
    inner join build_window on events.event_date > {{ add_days('build_window.data_through', -35) }}
    group by events.event_date

),

volumes as (

    select
        days.day,
        coalesce(counts.volume, 0) as volume
    from days
    inner join build_window on days.day > {{ add_days('build_window.data_through', -35) }}
    left join counts on days.day = counts.event_date

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
    compared.day,
    compared.volume as found,
    concat('at least ', {{ domain_settings().min_day_share }} * compared.usual) as allowed
from compared
inner join build_window on compared.day > {{ add_days('build_window.data_through', -7) }}
where compared.volume < {{ domain_settings().min_day_share }} * compared.usual
