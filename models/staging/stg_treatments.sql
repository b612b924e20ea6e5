{{ config(materialized='view') }}

select
    user_id,
    campaign,
    min(cast(treated_at as date)) as treated_on,
    {{ in_holdout('user_id') }} as is_in_holdout
from {{ source('raw', 'treatments') }}
group by user_id, campaign
