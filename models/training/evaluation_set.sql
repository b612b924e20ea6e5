{{ config(materialized='view') }}
{% set settings = domain_settings() %}
{% set windows = settings.feature_windows_days %}

with

features as (select * from {{ ref('user_features_daily') }}),

labels as (select * from {{ ref('churn_labels') }}),

days as (select * from {{ ref('days') }}),

-- the longest window is full, or as much of it as leaves room for one test date a horizon later
history as (

    select
        least(
            {{ windows | last }},
            greatest(
                {{ windows | first }},
                max(known_days) - {{ 2 * settings.churn_horizon_days + settings.training_every_days }}
            )
        ) as least_known_days
    from days

),

-- dates count from a fixed Sunday, so new days do not move old samples
sampled_days as (

    select days.day
    from days
    inner join history on days.known_days >= history.least_known_days
    where ({{ day_number('days.day') }} + 4) % {{ settings.training_every_days }} = 0

)

select
    features.*,
    labels.churn_label
from features
inner join sampled_days on features.as_of_date = sampled_days.day
inner join labels
    on
        features.user_id = labels.user_id
        and features.as_of_date = labels.as_of_date
