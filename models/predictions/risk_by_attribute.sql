{% set most_values = 60 %}
{% set fewest_users = 20 %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

features as (select * from {{ ref('user_features_latest') }}),

listed as (select * from {{ ref('churn_top_risk') }}),

of_users as (
    {{ as_rows('features', domain_settings().attributes, 'string', ['user_id']) }}
),

sizes as (

    select
        feature as attribute,
        value,
        count(*) as users
    from of_users
    group by feature, value

),

-- values of few users count together; if these are few too, the next larger value joins them
groups as (

    select
        attribute,
        value,
        users >= {{ fewest_users }} and coalesce(sum(users) over (
            partition by attribute
            order by users, value
            rows between unbounded preceding and 1 preceding
        ), 0) not between 1 and {{ fewest_users - 1 }} as is_large
    from sizes

),

-- an attribute with more values, or with none that many users share, is no group of users
attributes as (

    select attribute
    from groups
    group by attribute
    having count(value) <= {{ most_values }} and count(case when is_large then 1 end) > 0

),

grouped as (

    select
        of_users.user_id,
        groups.attribute,
        case when groups.is_large then groups.value else 'other' end as value
    from of_users
    inner join groups
        on of_users.feature = groups.attribute and of_users.value is not distinct from groups.value
    inner join attributes on groups.attribute = attributes.attribute

)

select
    predictions.as_of_date,
    cast(grouped.attribute as string) as attribute,
    cast(grouped.value as string) as value,
    cast(count(*) as bigint) as users,
    cast(sum(case when predictions.is_eligible then 1 else 0 end) as bigint) as eligible_users,
    cast(sum(case when predictions.is_eligible then predictions.churn_risk else 0 end) as double)
        as expected_churners,
    cast(sum(case when predictions.is_eligible then predictions.expected_loss else 0 end) as double)
        as expected_loss,
    cast(count(listed.user_id) as bigint) as listed_users
from grouped
inner join predictions on grouped.user_id = predictions.user_id
left join listed on grouped.user_id = listed.user_id
group by predictions.as_of_date, grouped.attribute, grouped.value
order by attribute asc, expected_loss desc
