{% set attributes = attribute_columns(domain_settings()) %}

with

users as (select * from {{ ref('accepted_users') }}),

days as {{ in_place() }} (select * from {{ ref('user_daily') }}),

features as (select * from {{ ref('user_features_latest') }}),

predictions as (select * from {{ ref('churn_predictions_latest') }}),

contacts as (select * from {{ ref('contact_states') }}),

first_days as (

    select
        user_id,
        min(day) as first_seen
    from days
    where events > 0
    group by user_id

)

select
    users.user_id,
    first_days.first_seen,
    users.signup_date,
    {% for attribute in attributes %}users.{{ attribute }}, {% endfor %}
    cast(predictions.user_value as double) as user_value,
    coalesce(features.is_eligible, false) as is_eligible,
    today.last_active_on,
    contacts.last_contact_on
from users
left join first_days on users.user_id = first_days.user_id
left join features on users.user_id = features.user_id
left join days as today
    on users.user_id = today.user_id and features.as_of_date = today.day
left join predictions on users.user_id = predictions.user_id
left join contacts on users.user_id = contacts.user_id
