{{ config(materialized='view') }}

with

features as (select * from {{ ref('user_features_daily') }}),

build_window as (select * from {{ ref('build_window') }})

select features.*
from features
inner join build_window on features.as_of_date = build_window.data_through
