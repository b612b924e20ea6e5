{{ config(
    materialized='incremental',
    unique_key='as_of_date',
    partition_by='as_of_date'
) }}
{% set columns = shared_columns(scored_features(), source('ml', 'training_reference')) %}
{% set numbers = columns | selectattr('is_number') | map(attribute='name') | list %}
{% set clock_like = clock_like_features(domain_settings().feature_windows_days | last) %}
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

),

judged as (

    select
        *,
        feature in ({{ text_list(clock_like) }}) as is_clock_like,
        {{ drift_status('psi', 'noise_psi') }} as drift_status
    from drift

)

select
    judged.feature,
    judged.as_of_date,
    judged.model_version,
    judged.psi,
    case
        when judged.is_clock_like and judged.drift_status <> 'ok' then 'watch'
        else judged.drift_status
    end as status,
    judged.is_clock_like,
    judged.noise_psi,
    judged.bins,
    judged.reference_rows,
    judged.current_rows
from judged
left join known on judged.feature = known.feature and judged.model_version = known.model_version
-- the domain may have got the feature after the model was trained: then it cannot have drifted
where known.feature is not null or judged.psi = 0
