{{ config(
    materialized='incremental',
    unique_key='as_of_date',
    partition_by='as_of_date'
) }}
{% set columns = shared_columns(scored_features(), source('ml', 'training_reference')) %}
{% set numbers = columns | selectattr('is_number') | map(attribute='name') | list %}
{% set growing = growing_features(domain_settings().feature_windows_days | last) %}
{% set numbers = numbers | reject('in', growing) | list %}
{% set texts = columns | rejectattr('is_number') | map(attribute='name') | list %}

with

reference as (select * from {{ source('ml', 'training_reference') }}),

predictions as (select * from {{ ref('churn_predictions') }}),

features as (select * from {{ scored_features() }}),

scored as (

    select
        user_id,
        as_of_date,
        model_version
    from predictions
    where
        is_eligible
    {% if is_incremental() -%}
        and as_of_date >= coalesce((select max(as_of_date) from {{ this }}), date '1900-01-01')
    {%- endif %}
),

current_rows as (

    select
        features.*,
        scored.model_version
    from features
    inner join scored on features.user_id = scored.user_id and features.as_of_date = scored.as_of_date

),

numbers_then as (
    {{ as_rows('reference', numbers, 'double', ['model_version']) }}
),

numbers_now as (
    {{ as_rows('current_rows', numbers, 'double', ['model_version', 'as_of_date']) }}
),

texts_then as (
    {{ as_rows('reference', texts, 'string', ['model_version']) }}
),

texts_now as (
    {{ as_rows('current_rows', texts, 'string', ['model_version', 'as_of_date']) }}
),

known as (

    select distinct
        feature,
        model_version
    from numbers_then
    where value is not null

    union all

    select distinct
        feature,
        model_version
    from texts_then
    where value is not null

),

drift as (

    select numbers.*
    from ({{ psi('numbers_then', 'numbers_now', 'value', ['feature', 'model_version']) }}) as numbers
    union all
    select texts.*
    from ({{ psi('texts_then', 'texts_now', 'value', ['feature', 'model_version'], false) }}) as texts

)

select
    drift.feature,
    drift.as_of_date,
    drift.model_version,
    drift.psi,
    {{ drift_status('drift.psi', 'drift.noise_psi') }} as status,
    drift.noise_psi,
    drift.bins,
    drift.reference_rows,
    drift.current_rows
from drift
left join known on drift.feature = known.feature and drift.model_version = known.model_version
-- the domain may have got the feature after the model was trained: then it cannot have drifted
where known.feature is not null or drift.psi = 0
