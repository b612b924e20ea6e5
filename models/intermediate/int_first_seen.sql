{% set settings = domain_settings() %}

with

events as (select * from {{ ref('int_events_read') }})

{% if settings.has_identities -%}
select
    user_id,
    received_user_id,
    ingested_at,
    max(greatest(ingested_at, coalesce(linked_at, ingested_at))) as known_at,
    min(event_date) as first_date
from events
where row_reason is null and not is_deleted
group by user_id, received_user_id, ingested_at
{%- else -%}
select
    user_id,
    user_id as received_user_id,
    ingested_at,
    ingested_at as known_at,
    min(event_date) as first_date
from events
-- nobody else needs it, and it reads all events
where row_reason is null and not is_deleted {{ '' if settings.users_from_events else 'and false' }}
group by user_id, ingested_at
{%- endif %}
