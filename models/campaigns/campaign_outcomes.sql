{% set apart = [domain_settings().churn_horizon_days, 7] | max %}

with

outcomes as (select * from {{ ref('contact_outcomes') }}),

contacts as (select * from {{ ref('contacts') }}),

contacted as (

    select
        campaign,
        user_id,
        treated_on,
        lag(treated_on) over (partition by campaign, user_id order by treated_on) as contacted_before
    from contacts
    where action = 'contacted'

),

-- soon after a contact, scores already reflect it and its outcome is open
reached as (

    select
        campaign,
        cast(date_trunc('month', treated_on) as date) as month,
        user_id,
        cast(date_trunc('week', min(treated_on)) as date) as week
    from contacted
    where contacted_before is null or contacted_before <= {{ add_days('treated_on', -apart) }}
    group by campaign, cast(date_trunc('month', treated_on) as date), user_id

),

weeks as (

    select distinct
        campaign,
        month,
        week
    from reached

)

select
    reached.campaign,
    reached.month,
    outcomes.*
from outcomes
inner join reached on outcomes.week = reached.week and outcomes.user_id = reached.user_id
where outcomes.is_treated
union all
select
    weeks.campaign,
    weeks.month,
    outcomes.*
from outcomes
inner join weeks on outcomes.week = weeks.week
where not outcomes.is_treated
