{{ config(materialized='view') }}

with

predictions as (select * from {{ source('ml', 'churn_predictions') }})

select
    user_id,
    as_of_date,
    churn_risk,
    risk_rank,
    risk_decile,
    risk_band,
    is_eligible,
    model_version,
    scored_at
from predictions
