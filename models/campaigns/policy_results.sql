{{ config(materialized='view') }}
{% set settings = domain_settings() %}

with

weighted as (select * from {{ ref('policy_weights') }}),

means as (

    select
        policy,
        is_treated,
        cast(count(*) as double) as outcomes,
        sum(weight) as total,
        sum(weight * value_kept) / sum(weight) as mean,
        sum(weight * expected_loss) / sum(weight) as mean_loss
    from weighted
    group by policy, is_treated

),

-- how far each user moves the difference of the two means (linearised ratio, by user)
moved as (

    select
        weighted.policy,
        weighted.user_id,
        sum(
            case when weighted.is_treated then 1 else -1 end
            * weighted.weight * (weighted.value_kept - means.mean) / means.total
        ) as influence
    from weighted
    inner join means on weighted.policy = means.policy and weighted.is_treated = means.is_treated
    group by weighted.policy, weighted.user_id

),

-- the list against ranking by risk, on the same users
compared as (

    select
        user_id,
        sum(case when policy = 'list' then influence else -influence end) as influence
    from moved
    group by user_id

),

paired as (select sum(power(influence, 2)) as variance from compared),

variances as (

    select
        policy,
        sum(power(influence, 2)) as variance,
        count(*) as users
    from moved
    group by policy

),

-- users whom a policy would list and the list never does: nothing is known of them
uncovered as (

    select
        policy,
        count(case when list_probability = 0 then 1 end) as users
    from weighted
    group by policy

)

select
    treated.policy,
    variances.users,
    treated.outcomes as contacted,
    holdout.outcomes as holdout,
    treated.mean_loss,
    treated.mean - holdout.mean - {{ settings.offer_cost }} as value_kept,
    1.96 * sqrt(variances.variance) as half_width,
    case when treated.policy = 'list' then 0 else 1.96 * sqrt(paired.variance) end as lead_half_width
from means as treated
inner join means as holdout on treated.policy = holdout.policy
inner join variances on treated.policy = variances.policy
inner join uncovered on treated.policy = uncovered.policy
cross join paired
where treated.is_treated and not holdout.is_treated and uncovered.users = 0
