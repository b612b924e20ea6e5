{{ config(materialized='view') }}

with

raw_treatments as (select * from {{ source('raw', 'treatments') }})

select
    user_id,
    campaign,
    {{ local_date('treated_at') }} as treated_on
from raw_treatments
