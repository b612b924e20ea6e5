{{ config(materialized='view') }}
{% set settings = domain_settings() %}
{% set windows = settings.feature_windows_days %}
{% set horizon = settings.churn_horizon_days %}

with

features as (select * from {{ ref('sampled_features') }}),

labels as (select * from {{ ref('churn_labels') }}),

days as (select * from {{ ref('days') }}),

-- days with a closed label and a full shortest window, counted from a fixed Sunday
sampled_days as (

    select
        days.day,
        days.known_days
    from days
    inner join days as ends
        on {{ add_days('days.day', horizon) }} = ends.day and days.unknown_days = ends.unknown_days
    where
        days.known_days >= {{ windows | first }}
        and {{ is_sampled('days.day') }}

),

newest as (

    select
        max(day) as day,
        max(known_days) as known_days
    from sampled_days

),

-- known days before the first date: the longest window; in a short history half of it, or fewer where no
-- date would be left to test on, a horizon later
enough as (

    select
        least(
            {{ windows | last }},
            min(newest.known_days) / 2,
            coalesce(max(tested.known_days), 0)
        ) as known_days
    from newest
    left join sampled_days as tested on tested.day <= {{ add_days('newest.day', -horizon) }}

)

select
    features.*,
    labels.churn_label
from features
inner join sampled_days on features.as_of_date = sampled_days.day
inner join enough on sampled_days.known_days >= enough.known_days
inner join labels
    on
        features.user_id = labels.user_id
        and features.as_of_date = labels.as_of_date
