{{ config(materialized='view') }}
{% set clip = 20 %}

with

outcomes as (select * from {{ ref('list_outcomes') }}),

-- what was lost less than expected: an expectation from before the contact takes away noise alone
kept as (

    select
        *,
        expected_loss - churn_label * user_value as value_kept
    from outcomes

),

-- chance: with which the policy would list the user
chosen as (

    select
        'list' as policy,
        list_probability as chance,
        kept.*
    from kept
    union all
    select
        'risk' as policy,
        case when risk_place <= list_size then 1 else 0 end as chance,
        kept.*
    from kept

)

select
    *,
    case
        when is_treated then least(chance / list_probability, {{ clip }}) else chance * called_share
    end as weight
from chosen
where chance > 0
