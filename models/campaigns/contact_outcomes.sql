with

contacts as (select * from {{ ref('contacts') }}),

users as (select * from {{ ref('accepted_users') }}),

labels as (select * from {{ ref('churn_labels') }}),

predictions as (select * from {{ ref('churn_predictions') }}),

user_daily as (select * from {{ ref('user_daily') }}),

days as (select * from {{ ref('days') }}),

treated as (

    select
        user_id,
        cast(date_trunc('week', treated_on) as date) as week,
        min(treated_on) as day
    from contacts
    where action = 'contacted' and not {{ in_holdout('user_id') }}
    group by user_id, cast(date_trunc('week', treated_on) as date)

),

weeks as (

    select
        week,
        min(day) as day
    from treated
    group by week

),

-- users of the holdout whom nobody ever contacted, in each week of contacts
controls as (

    select
        users.user_id,
        weeks.week,
        weeks.day
    from users
    cross join weeks
    left join contacts on users.user_id = contacts.user_id and contacts.action = 'contacted'
    where {{ in_holdout('users.user_id') }} and contacts.user_id is null

),

people as (

    select
        *,
        true as is_treated
    from treated
    union all
    select
        *,
        false as is_treated
    from controls

),

contact_days as (select distinct day from people),

scored as (select distinct as_of_date from predictions),

-- the newest scores before each day: later ones may reflect the contact
last_scores as (

    select
        contact_days.day,
        max(scored.as_of_date) as as_of_date
    from contact_days
    inner join scored on contact_days.day > scored.as_of_date
    group by contact_days.day

)

select
    people.week,
    people.user_id,
    people.day as as_of_date,
    people.is_treated,
    last_scores.as_of_date as scored_on,
    predictions.risk_band,
    predictions.churn_risk,
    {{ silence_group(known_days_between(
        'coalesce(user_daily.last_active_on, users.signup_date)', 'last_scores.as_of_date',
        'days_of_last_activity', 'days_of_scores'
    )) }} as silence_group,
    labels.churn_label
from people
inner join users on people.user_id = users.user_id
inner join last_scores on people.day = last_scores.day
inner join predictions
    on people.user_id = predictions.user_id and last_scores.as_of_date = predictions.as_of_date
inner join labels
    on people.user_id = labels.user_id and people.day = labels.as_of_date
left join user_daily
    on people.user_id = user_daily.user_id and last_scores.as_of_date = user_daily.day
left join days as days_of_scores on last_scores.as_of_date = days_of_scores.day
left join days as days_of_last_activity
    on coalesce(user_daily.last_active_on, users.signup_date) = days_of_last_activity.day
