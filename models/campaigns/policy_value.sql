{% set settings = domain_settings() %}
{% set least = 30 %}

with

results as (select * from {{ ref('policy_results') }}),

todays_list as (select * from {{ ref('churn_top_risk') }}),

weeks as (select count(distinct week) as weeks from {{ ref('policy_weights') }}),

-- contacting nobody earns 0; that is as well known as what the list earns
policies as (

    select
        known.policy,
        measured.users,
        measured.contacted,
        measured.holdout,
        measured.value_kept as measured_value_kept,
        measured.half_width as measured_half_width,
        {{ settings.save_rate }} * measured.mean_loss as aim,
        case when known.policy = 'nobody' then 0 else measured.value_kept end as value_kept,
        case when known.policy = 'nobody' then 0 else measured.half_width end as half_width,
        of_list.value_kept as list_value_kept,
        case when known.policy = 'nobody' then of_list.half_width else measured.lead_half_width end
            as lead_half_width
    from (values ('list', 'list'), ('risk', 'risk'), ('nobody', 'list')) as known (policy, measured_by)
    left join results as measured on known.measured_by = measured.policy
    left join results as of_list on measured.policy is not null and of_list.policy = 'list'

),

-- how many times the contacts so far are needed
needed as (

    select
        *,
        case
            when
                contacted >= {{ least }} and holdout >= {{ least }}
                and abs(measured_value_kept) > measured_half_width
                then 1
            when aim > 0
                then greatest(
                    power(measured_half_width / aim, 2), {{ least }} / contacted, {{ least }} / holdout
                )
        end as times_needed
    from policies

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

)

select
    cast(needed.policy as string) as policy,
    cast(coalesce(needed.users, 0) as bigint) as users,
    cast(coalesce(needed.contacted, 0) as bigint) as contacted,
    -- rounded, since sums of floats depend on the order of their rows
    cast(round(needed.value_kept, 6) as double) as value_kept,
    cast(round(needed.value_kept - needed.half_width, 6) as double) as value_kept_low,
    cast(round(needed.value_kept + needed.half_width, 6) as double) as value_kept_high,
    cast(round(needed.list_value_kept - needed.value_kept, 6) as double) as list_lead,
    cast(
        round(needed.list_value_kept - needed.value_kept - needed.lead_half_width, 6) as double
    ) as list_lead_low,
    cast(
        round(needed.list_value_kept - needed.value_kept + needed.lead_half_width, 6) as double
    ) as list_lead_high,
    cast(weeks.weeks as bigint) as weeks,
    coalesce(needed.times_needed <= 1, false) as is_enough,
    cast(
        case
            when weeks.weeks = 0 then ceil(planned.contacts)
            when needed.times_needed <= 1 then 0
            else ceil(needed.contacted * (needed.times_needed - 1))
        end as bigint
    ) as missing_contacts
from needed
cross join weeks
left join planned on weeks.weeks = 0
