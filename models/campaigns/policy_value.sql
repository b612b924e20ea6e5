{% set settings = domain_settings() %}
{% set least = 30 %}

with

weighted as (select * from {{ ref('policy_weights') }}),

todays_list as (select * from {{ ref('churn_top_risk') }}),

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

variances as (

    select
        policy,
        sum(power(influence, 2)) as variance,
        count(*) as users
    from moved
    group by policy

),

-- the list against each policy, on the same users
by_user as (

    select
        user_id,
        sum(case when policy = 'list' then influence else 0 end) as list_influence,
        sum(case when policy = 'risk' then influence else 0 end) as risk_influence
    from moved
    group by user_id

),

paired as (

    select
        sum(power(list_influence, 2)) as nobody,
        sum(power(list_influence - risk_influence, 2)) as risk
    from by_user

),

-- users whom a policy would list and the list never does: nothing is known of them
uncovered as (

    select
        policy,
        count(case when list_probability = 0 then 1 end) as users
    from weighted
    group by policy

),

weeks as (select count(distinct week) as weeks from weighted),

measured as (

    select
        treated.policy,
        variances.users,
        treated.outcomes as contacted,
        holdout.outcomes as holdout,
        treated.mean - holdout.mean - {{ settings.offer_cost }} as value_kept,
        1.96 * sqrt(variances.variance) as half_width,
        {{ settings.save_rate }} * treated.mean_loss as aim
    from means as treated
    inner join means as holdout on treated.policy = holdout.policy
    inner join variances on treated.policy = variances.policy
    inner join uncovered on treated.policy = uncovered.policy
    where treated.is_treated and not holdout.is_treated and uncovered.users = 0

),

-- contacts that are needed, from today's list, while nothing is measured
todays as (

    select
        avg(churn_risk * (1 - churn_risk) * power(user_value, 2)) as variance,
        {{ settings.save_rate }} * avg(expected_loss) as aim
    from todays_list

),

planned as (

    select
        greatest(
            {{ least }}, power(1.96 / aim, 2) * variance / {{ settings.holdout_share }}
        ) as contacts
    from todays
    where aim > 0 and {{ settings.holdout_share }} > 0

),

policies as (

    select
        known.policy,
        case when known.policy = 'nobody' then 'list' else known.policy end as measured_by
    from (values ('list'), ('risk'), ('nobody')) as known (policy)

),

-- how many times the contacts so far are needed
results as (

    select
        policies.policy,
        measured.users,
        measured.contacted,
        case when policies.policy = 'nobody' then 0 else measured.value_kept end as value_kept,
        case when policies.policy = 'nobody' then 0 else measured.half_width end as half_width,
        of_list.value_kept
        - case when policies.policy = 'nobody' then 0 else measured.value_kept end as list_lead,
        1.96 * sqrt(
            case policies.policy when 'nobody' then paired.nobody when 'risk' then paired.risk else 0 end
        ) as lead_half_width,
        case
            when measured.aim > 0
                then greatest(
                    power(measured.half_width / measured.aim, 2),
                    {{ least }} / measured.contacted,
                    {{ least }} / measured.holdout
                )
        end as times_needed
    from policies
    cross join paired
    left join measured on policies.measured_by = measured.policy
    left join measured as of_list on measured.policy is not null and of_list.policy = 'list'

)

select
    cast(results.policy as string) as policy,
    cast(coalesce(results.users, 0) as bigint) as users,
    cast(coalesce(results.contacted, 0) as bigint) as contacted,
    -- rounded, since sums of floats depend on the order of their rows
    cast(round(results.value_kept, 6) as double) as value_kept,
    cast(round(results.value_kept - results.half_width, 6) as double) as value_kept_low,
    cast(round(results.value_kept + results.half_width, 6) as double) as value_kept_high,
    cast(round(results.list_lead, 6) as double) as list_lead,
    cast(round(results.list_lead - results.lead_half_width, 6) as double) as list_lead_low,
    cast(round(results.list_lead + results.lead_half_width, 6) as double) as list_lead_high,
    cast(weeks.weeks as bigint) as weeks,
    coalesce(results.times_needed <= 1, false) as is_enough,
    cast(
        case
            when weeks.weeks = 0 then ceil(planned.contacts)
            when results.times_needed <= 1 then 0
            else ceil(results.contacted * (results.times_needed - 1))
        end as bigint
    ) as missing_contacts
from results
cross join weeks
left join planned on weeks.weeks = 0
