with

contacts as (select * from {{ ref('contacts') }}),

outcomes as (select * from {{ ref('campaign_outcomes') }}),

months as (

    select
        campaign,
        cast(date_trunc('month', treated_on) as date) as month,
        min(treated_on) as started_on,
        count(distinct user_id) as treated_users,
        count(distinct case when {{ in_holdout('user_id') }} then user_id end) as treated_in_holdout
    from contacts
    where action = 'contacted'
    group by campaign, cast(date_trunc('month', treated_on) as date)

),

-- a user of the holdout in several weeks is one user
bands as (

    select
        campaign,
        month,
        risk_band,
        cast(count(distinct case when is_treated then user_id end) as double) as treated,
        cast(count(distinct case when is_treated then null else user_id end) as double) as holdout,
        avg(case when is_treated then cast(churn_label as double) end) as treated_churn,
        avg(case when is_treated then churn_risk end) as treated_risk,
        avg(case when is_treated then null else cast(churn_label as double) end) as left_of_holdout,
        avg(case when is_treated then null else churn_risk end) as holdout_risk
    from outcomes
    group by campaign, month, risk_band

),

-- the treated users' risk, times the holdout's churners over those expected: one more of each
-- keeps a small band off 0, as one churner and one stayer more do for the error
rates as (

    select
        *,
        treated_risk * holdout / (holdout_risk * holdout + 1) as per_leaver,
        least(
            treated_risk * (left_of_holdout * holdout + 1) / (holdout_risk * holdout + 1), 1
        ) as holdout_churn,
        (treated_churn * treated + 1) / (treated + 2) as treated_smooth,
        (left_of_holdout * holdout + 1) / (holdout + 2) as holdout_smooth
    from bands
    where treated > 0 and holdout > 0

),

measured as (

    select
        outcomes.campaign,
        outcomes.month,
        count(distinct case when outcomes.is_treated then outcomes.user_id end) as treated_measured,
        count(distinct case when outcomes.is_treated then null else outcomes.user_id end)
            as holdout_measured
    from outcomes
    inner join rates
        on
            outcomes.campaign = rates.campaign
            and outcomes.month = rates.month
            and outcomes.risk_band = rates.risk_band
    group by outcomes.campaign, outcomes.month

),

lifts as (

    select
        campaign,
        month,
        sum(treated * treated_churn) / sum(treated) as treated_churn,
        sum(treated * holdout_churn) / sum(treated) as holdout_churn,
        1.96 * sqrt(
            sum(
                treated * treated * (
                    treated_smooth * (1 - treated_smooth) / treated
                    + per_leaver * per_leaver * holdout_smooth * (1 - holdout_smooth) / holdout
                )
            )
        ) / sum(treated) as half_width
    from rates
    group by campaign, month

)

select
    cast(months.campaign as string) as campaign,
    months.month,
    months.started_on,
    cast(months.treated_users as bigint) as treated_users,
    cast(months.treated_in_holdout as bigint) as treated_in_holdout,
    cast(coalesce(measured.treated_measured, 0) as bigint) as treated_measured,
    cast(coalesce(measured.holdout_measured, 0) as bigint) as holdout_measured,
    cast(lifts.treated_churn as double) as treated_churn,
    cast(lifts.holdout_churn as double) as holdout_churn,
    cast(lifts.treated_churn - lifts.holdout_churn as double) as difference,
    cast(lifts.treated_churn - lifts.holdout_churn - lifts.half_width as double) as difference_low,
    cast(lifts.treated_churn - lifts.holdout_churn + lifts.half_width as double) as difference_high
from months
left join measured on months.campaign = measured.campaign and months.month = measured.month
left join lifts on months.campaign = lifts.campaign and months.month = lifts.month
