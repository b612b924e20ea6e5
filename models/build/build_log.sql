{{ config(
    materialized='incremental',
    incremental_strategy='append'
) }}

-- depends_on: {{ ref('user_features_daily') }}
-- depends_on: {{ ref('churn_labels') }}

with

build_window as (select * from {{ ref('build_window') }}),

filled_by as (select * from {{ source('raw', 'domain') }})

select
    cast({{ next_build_number() }} as integer) as build_number,
    build_window.rewrite_from,
    build_window.ingested_through,
    build_window.data_through,
    filled_by.settings
from build_window
cross join filled_by
