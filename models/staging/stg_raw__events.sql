{{ config(materialized='view') }}

with

raw_events as (select * from {{ source('raw', 'events') }})

select
    row_id,
    file_id,
    event_id,
    user_id,
    event_type,
    {% for column in event_columns(domain_settings()) -%}
    try_cast({{ column.name }} as {{ column.type }}) as {{ column.name }},
    {{ column.name }} as {{ column.received }},
    {% endfor -%}
    event_time,
    event_time_unread,
    {{ local_date('event_time') }} as event_date,
    version,
    coalesce(updated_at_unread, version_unread, is_deleted_unread) as change_unread,
    coalesce(is_deleted, false) as is_deleted,
    reject_reason as domain_reason,
    ingested_at
from raw_events
