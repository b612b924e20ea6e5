{% set settings = domain_settings() %}

with

events as (select * from {{ ref('int_events_read') }})

select
    user_id,
    {{ 'received_user_id' if settings.has_identities else 'user_id as received_user_id' }},
    ingested_at,
    min(event_date) as first_date
from events
where
    row_reason is null
    and not is_deleted
    {{ '' if settings.has_identities or settings.users_from_events else 'and false -- nobody needs it' }}
group by 1, 2, 3
