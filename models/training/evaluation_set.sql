{{ config(materialized='view') }}
{% set settings = domain_settings() %}

with

features as (select * from {{ ref('user_features_daily') }}),

labels as (select * from {{ ref('churn_labels') }}),

build_window as (select * from {{ ref('build_window') }})

select
    features.*,
    labels.churn_label
from features
inner join labels
    on
        features.user_id = labels.user_id
        and features.as_of_date = labels.as_of_date
-- all windows are full; dates count from a fixed Sunday, so new days do not move old samples
where
    features.as_of_date
    >= (
        select {{ add_days('data_from', settings.feature_windows_days | last - 1) }} from build_window
    )
    and ({{ day_number('features.as_of_date') }} + 4) % {{ settings.training_every_days }} = 0
