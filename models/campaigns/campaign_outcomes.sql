with

outcomes as (select * from {{ ref('contact_outcomes') }}),

contacts as (select * from {{ ref('contacts') }}),

reached as (

    select distinct
        campaign,
        cast(date_trunc('week', treated_on) as date) as week,
        user_id
    from contacts
    where action = 'contacted'

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
