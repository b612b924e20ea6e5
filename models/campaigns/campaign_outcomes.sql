with

treatments as (select * from {{ ref('treatments') }}),

users as (select * from {{ ref('accepted_users') }}),

labels as (select * from {{ ref('churn_labels') }}),

predictions as (select * from {{ ref('churn_predictions') }}),

campaigns as (

    select
        campaign,
        min(treated_on) as started_on
    from treatments
    group by campaign

),

-- the newest scores before each campaign
last_scores as (

    select
        campaigns.campaign,
        max(predictions.as_of_date) as as_of_date
    from campaigns
    inner join predictions on campaigns.started_on > predictions.as_of_date
    group by campaigns.campaign

),

people as (

    select
        campaign,
        user_id,
        treated_on as as_of_date,
        true as is_treated
    from treatments
    where not is_in_holdout

    union all

    select
        campaigns.campaign,
        users.user_id,
        campaigns.started_on as as_of_date,
        false as is_treated
    from campaigns
    cross join users
    left join treatments
        on campaigns.campaign = treatments.campaign and users.user_id = treatments.user_id
    where {{ in_holdout('users.user_id') }} and treatments.user_id is null

)

select
    people.campaign,
    people.user_id,
    people.as_of_date,
    people.is_treated,
    labels.churn_label,
    predictions.risk_decile
from people
inner join labels
    on people.user_id = labels.user_id and people.as_of_date = labels.as_of_date
left join last_scores on people.campaign = last_scores.campaign
left join predictions
    on people.user_id = predictions.user_id and last_scores.as_of_date = predictions.as_of_date
