{{ config(
    materialized='incremental',
    schema='ml',
    unique_key='as_of_date',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

with

features as (select * from {{ ref('user_features_latest') }}),

scores as (select * from {{ ref('churn_scores') }})

select features.* exclude (is_eligible)
from features
inner join scores on features.user_id = scores.user_id
