{{ config(
    materialized='incremental',
    incremental_strategy='append'
) }}

-- depends_on: {{ ref('sampled_features') }}
-- depends_on: {{ ref('churn_labels') }}

with

build_window as (select * from {{ ref('build_window') }}),

filled_by as (select * from {{ source('raw', 'domain') }}),

unknown as (

    select coalesce(string_agg(cast(day as string), ','), '') as unknown_days
    from {{ ref('days') }}
    where is_unknown

)

select
    build_window.build_number,
    build_window.rewrite_from,
    build_window.ingested_through,
    build_window.data_from,
    build_window.data_through,
    filled_by.built_with as settings,
    unknown.unknown_days
from build_window
cross join filled_by
cross join unknown
