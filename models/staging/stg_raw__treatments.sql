{{ config(materialized='view') }}

with

raw_treatments as (select * from {{ source('raw', 'treatments') }})

select
    user_id,
    campaign,
    cast(treated_at as date) as treated_on
from raw_treatments
