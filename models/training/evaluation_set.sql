{{ config(materialized='view') }}
{% set settings = domain_settings() %}

with

features as (select * from {{ ref('user_features_daily') }}),

labels as (select * from {{ ref('churn_labels') }}),

-- all windows are full; dates count from a fixed Sunday, so new days do not move old samples
sampled_days as (

    select day
    from {{ ref('days') }}
    where
        known_days >= {{ settings.feature_windows_days | last }}
        and ({{ day_number('day') }} + 4) % {{ settings.training_every_days }} = 0

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
