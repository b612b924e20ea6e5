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
    {{ in_holdout('user_id') }} as in_holdout,
    reason_1,
    reason_2,
    reason_3,
    model_version,
    scored_at
from predictions
