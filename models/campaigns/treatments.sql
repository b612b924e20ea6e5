{{ config(materialized='view') }}

with

raw_treatments as (select * from {{ ref('stg_raw__treatments') }})

select
    user_id,
    campaign,
    min(treated_on) as treated_on,
    {{ in_holdout('user_id') }} as is_in_holdout
from raw_treatments
group by user_id, campaign
