{{ config(materialized='view') }}
{% set settings = domain_settings() %}

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
    contact_key,
    withdraws,
    ingested_at,
    case
        when {{ is_blank('user_id') }} then 'missing_user_id'
        when treated_at is null then 'unreadable_treated_at'
        when {{ before_first_day('treated_at', 'ingested_at') }} then 'treated_at_before_first_day'
        when treated_at > ingested_at + interval '{{ settings.arrival_tolerance_minutes }}' minute
            then 'treated_at_after_arrival'
    end as reject_reason
from raw_treatments
