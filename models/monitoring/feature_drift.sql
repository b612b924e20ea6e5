{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='as_of_date'
) }}
{% set columns = shared_columns(ref('user_features_daily'), source('ml', 'training_reference')) %}

with

reference as (select * from {{ source('ml', 'training_reference') }}),

predictions as (select * from {{ ref('churn_predictions') }}),

features as (select * from {{ ref('user_features_daily') }}),

scored as (

    select distinct
        as_of_date,
        model_version
    from predictions
    {% if is_incremental() -%}
        where as_of_date >= coalesce((select max(as_of_date) from {{ this }}), date '1900-01-01')
    {%- endif %}
),

current_rows as (

    select
        features.*,
        scored.model_version
    from features
    inner join scored on features.as_of_date = scored.as_of_date
    where features.is_eligible

),

drift as (

    {% for column in columns -%}
        select
            '{{ column.name }}' as feature,
            measured.*
        from (
            {{ psi('reference', 'current_rows', column.name, ['model_version'], column.is_number) }}
        ) as measured
        union all
    {% endfor -%}
    select
        cast(null as varchar) as feature,
        model_version,
        as_of_date,
        cast(null as double) as psi,
        cast(null as integer) as bins,
        cast(null as bigint) as reference_rows,
        cast(null as bigint) as current_rows,
        cast(null as double) as noise_psi
    from scored
    where false

)

select
    feature,
    as_of_date,
    model_version,
    psi,
    {{ drift_status('psi', 'noise_psi') }} as status,
    noise_psi,
    bins,
    reference_rows,
    current_rows
from drift
