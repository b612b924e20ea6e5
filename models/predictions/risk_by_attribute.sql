{% set most_values = 60 %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

features as (select * from {{ ref('user_features_latest') }}),

listed as (select * from {{ ref('churn_top_risk') }}),

of_users as (
    {{ as_rows('features', domain_settings().attributes, 'string', ['user_id']) }}
),

-- an attribute with more values is no group of users
attributes as (

    select feature as attribute
    from of_users
    group by feature
    having count(distinct value) <= {{ most_values }}

)

select
    predictions.as_of_date,
    cast(of_users.feature as string) as attribute,
    cast(of_users.value as string) as value,
    cast(count(*) as bigint) as users,
    cast(sum(case when predictions.is_eligible then 1 else 0 end) as bigint) as eligible_users,
    cast(sum(case when predictions.is_eligible then predictions.churn_risk else 0 end) as double)
        as expected_churners,
    cast(sum(case when predictions.is_eligible then predictions.expected_loss else 0 end) as double)
        as expected_loss,
    cast(count(listed.user_id) as bigint) as listed_users
from of_users
inner join attributes on of_users.feature = attributes.attribute
inner join predictions on of_users.user_id = predictions.user_id
left join listed on of_users.user_id = listed.user_id
group by predictions.as_of_date, of_users.feature, of_users.value
order by attribute asc, expected_loss desc
