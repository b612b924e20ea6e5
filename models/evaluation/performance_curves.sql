{{ config(materialized='view') }}

with

outcomes as (

    select *
    from {{ ref('prediction_outcomes') }}
    where is_eligible and is_mature

),

-- users of equal risk share one threshold
thresholds as (

    select
        as_of_date,
        model_version,
        churn_risk,
        sum(churn_label) as churned,
        count(*) as users
    from outcomes
    group by as_of_date, model_version, churn_risk

),

cumulated as (

    select
        *,
        sum(churned) over so_far as churned_so_far,
        sum(users) over so_far as users_so_far,
        sum(churned) over everybody as all_churned,
        sum(users - churned) over everybody as all_stayed
    from thresholds
    window
        so_far as (
            partition by as_of_date, model_version order by churn_risk desc
            rows between unbounded preceding and current row
        ),
        everybody as (partition by as_of_date, model_version)

)

select
    as_of_date,
    model_version,
    cast(
        sum({{ divide('churned', 'all_churned') }} * churned_so_far / users_so_far) as double
    ) as average_precision,
    -- counts pairs in which the churner has the higher risk; equal risks count half
    cast(
        sum((users - churned) * (churned_so_far - churned / 2e0))
        / nullif(max(cast(all_churned as double) * all_stayed), 0) as double
    ) as roc_auc
from cumulated
group by as_of_date, model_version
