{{ config(materialized='view') }}

with

raw_treatments as (select * from {{ source('raw', 'treatments') }})

select
    row_id,
    file_id,
    user_id,
    treated_at,
    treated_at_unread,
    {{ local_date('treated_at') }} as treated_on,
    coalesce(campaign, 'unnamed') as campaign,
    channel,
    outcome,
    note,
    {{ adapter.quote('by') }} as contacted_by,
    coalesce(action, 'contacted') as action,
    owner,
    snoozed_until,
    ingested_at
from raw_treatments
