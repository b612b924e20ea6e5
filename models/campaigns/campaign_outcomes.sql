with

outcomes as (select * from {{ ref('contact_outcomes') }}),

contacts as (select * from {{ ref('contacts') }}),

-- by a user's first contact: later scores already reflect it
reached as (

    select
        campaign,
        user_id,
        min(cast(date_trunc('week', treated_on) as date)) as week
    from contacts
    where action = 'contacted'
    group by campaign, user_id

),

weeks as (

    select distinct
        campaign,
        week
    from reached

)

select
    reached.campaign,
    outcomes.*
from outcomes
inner join reached on outcomes.week = reached.week and outcomes.user_id = reached.user_id
where outcomes.is_treated
union all
select
    weeks.campaign,
    outcomes.*
from outcomes
inner join weeks on outcomes.week = weeks.week
where not outcomes.is_treated
