with

treatments as (select * from {{ ref('treatments') }}),

outcomes as (select * from {{ ref('campaign_outcomes') }}),

campaigns as (

    select
        campaign,
        min(treated_on) as started_on,
        count(*) as treated_users,
        sum(case when is_in_holdout then 1 else 0 end) as treated_in_holdout
    from treatments
    group by campaign

),

-- compare users of the same risk: campaigns reach the riskiest first
strata as (

    select
        campaign,
        risk_decile,
        cast(sum(case when is_treated then 1 else 0 end) as double) as treated,
        cast(sum(case when is_treated then 0 else 1 end) as double) as holdout,
        cast(sum(case when is_treated then churn_label else 0 end) as double) as treated_churned,
        cast(sum(case when is_treated then 0 else churn_label end) as double) as holdout_churned
    from outcomes
    group by campaign, risk_decile

),

-- adding one churner and one stayer to each side keeps the error of a small stratum above 0
rates as (

    select
        *,
        treated_churned / treated as treated_rate,
        holdout_churned / holdout as holdout_rate,
        (treated_churned + 1) / (treated + 2) as treated_smooth,
        (holdout_churned + 1) / (holdout + 2) as holdout_smooth
    from strata
    where treated > 0 and holdout > 0

),

lifts as (

    select
        campaign,
        sum(treated) as treated_measured,
        sum(holdout) as holdout_measured,
        sum(treated * treated_rate) / sum(treated) as treated_churn,
        sum(treated * holdout_rate) / sum(treated) as holdout_churn,
        1.96 * sqrt(
            sum(
                treated * treated * (
                    treated_smooth * (1 - treated_smooth) / treated
                    + holdout_smooth * (1 - holdout_smooth) / holdout
                )
            )
        ) / sum(treated) as half_width
    from rates
    group by campaign

)

select
    cast(campaigns.campaign as string) as campaign,
    campaigns.started_on,
    cast(campaigns.treated_users as bigint) as treated_users,
    cast(campaigns.treated_in_holdout as bigint) as treated_in_holdout,
    cast(coalesce(lifts.treated_measured, 0) as bigint) as treated_measured,
    cast(coalesce(lifts.holdout_measured, 0) as bigint) as holdout_measured,
    cast(lifts.treated_churn as double) as treated_churn,
    cast(lifts.holdout_churn as double) as holdout_churn,
    cast(lifts.treated_churn - lifts.holdout_churn as double) as difference,
    cast(lifts.treated_churn - lifts.holdout_churn - lifts.half_width as double) as difference_low,
    cast(lifts.treated_churn - lifts.holdout_churn + lifts.half_width as double) as difference_high
from campaigns
left join lifts on campaigns.campaign = lifts.campaign
