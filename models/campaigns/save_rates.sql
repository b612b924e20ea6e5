{% set assumed = domain_settings().save_rate %}
{% set spread = [assumed / 2, 0.05] | max %}
{% set between = spread * spread %}

with

outcomes as (select * from {{ ref('contact_outcomes') }}),

-- a user of the holdout who is a control of several weeks is one user
counts as (

    select
        risk_band,
        silence_group,
        cast(sum(case when is_treated then 1 else 0 end) as double) as treated_users,
        sum(case when is_treated then churn_label else 0 end) as treated_churned,
        sum(case when is_treated then churn_risk else 0 end) as treated_expected,
        cast(count(distinct case when is_treated then null else user_id end) as double) as holdout_users,
        avg(case when is_treated then null else cast(churn_label as double) end) as holdout_churned,
        avg(case when is_treated then null else churn_risk end) as holdout_expected
    from outcomes
    group by risk_band, silence_group

),

-- one churner more, who was expected too, keeps the rates of a small group off 0
rates as (

    select
        risk_band,
        silence_group,
        treated_users,
        holdout_users,
        (treated_churned + 1) / (treated_users + 2) as treated_churn,
        (holdout_churned * holdout_users + 1) / (holdout_users + 2) as holdout_churn,
        (treated_churned + 1) / (treated_expected + 1) as treated_ratio,
        (holdout_churned * holdout_users + 1) / (holdout_expected * holdout_users + 1) as holdout_ratio
    from counts
    where treated_users > 0 and holdout_users > 0

),

-- the share of churners whom a contact keeps, and its variance by the delta method
measured as (

    select
        *,
        1 - treated_ratio / holdout_ratio as measured_rate,
        power(treated_ratio / holdout_ratio, 2) * (
            (1 - treated_churn) / (treated_churn * treated_users)
            + (1 - holdout_churn) / (holdout_churn * holdout_users)
        ) as variance
    from rates

),

-- the mean over groups, which begins at the domain's save_rate
overall as (

    select
        1 / ({{ 1 / (spread * spread) }} + coalesce(sum(1 / (variance + {{ between }})), 0)) as variance,
        {{ assumed / (spread * spread) }}
        + coalesce(sum(measured_rate / (variance + {{ between }})), 0) as weighted
    from measured

),

-- own_share: how far a group's own figure counts; the rest is the mean's
groups as (

    select
        bands.risk_band,
        silences.silence_group,
        coalesce(counts.treated_users, 0) as treated_users,
        coalesce(counts.holdout_users, 0) as holdout_users,
        measured.measured_rate,
        coalesce({{ between }} / ({{ between }} + measured.variance), 0) as own_share,
        overall.weighted * overall.variance as mean_rate,
        overall.variance as mean_variance
    from (values ('high'), ('medium'), ('low'), ('gone')) as bands (risk_band)
    cross join (values ('recent'), ('silent')) as silences (silence_group)
    cross join overall
    left join counts
        on bands.risk_band = counts.risk_band and silences.silence_group = counts.silence_group
    left join measured
        on bands.risk_band = measured.risk_band and silences.silence_group = measured.silence_group

),

shrunk as (

    select
        *,
        own_share * coalesce(measured_rate, 0) + (1 - own_share) * mean_rate as rate,
        1.96 * sqrt(
            (1 - own_share) * {{ between }} + (1 - own_share) * (1 - own_share) * mean_variance
        ) as half_width
    from groups

)

select
    risk_band,
    silence_group,
    cast(treated_users as bigint) as treated_users,
    cast(holdout_users as bigint) as holdout_users,
    cast(measured_rate as double) as measured_rate,
    cast(least(rate, 1) as double) as save_rate,
    cast(rate - half_width as double) as save_rate_low,
    cast(least(rate + half_width, 1) as double) as save_rate_high
from shrunk
