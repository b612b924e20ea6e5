{{ config(materialized='view') }}

with

predictions as (select * from {{ ref('churn_predictions') }}),

labels as (select * from {{ ref('churn_labels') }})

select
    predictions.user_id,
    predictions.as_of_date,
    predictions.model_version,
    predictions.churn_risk,
    predictions.risk_rank,
    predictions.is_eligible,
    labels.churn_label is not null as is_mature,
    labels.churn_label
from predictions
left join labels
    on
        predictions.user_id = labels.user_id
        and predictions.as_of_date = labels.as_of_date
