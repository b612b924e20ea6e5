{#- None of the last seven days has less than min_day_share of the median of the 28 days before it. -#}
with

days as (select * from {{ ref('days') }}),

build_window as (select * from {{ ref('build_window') }}),

events as (

    select events.event_date
    from {{ ref('stg_events') }} as events
    inner join build_window on events.event_date > {{ add_days('build_window.data_through', -35) }}

),

volumes as (

    select
        days.day,
        count(events.event_date) as volume
    from days
    inner join build_window on days.day > {{ add_days('build_window.data_through', -35) }}
    left join events on days.day = events.event_date
    group by days.day

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
