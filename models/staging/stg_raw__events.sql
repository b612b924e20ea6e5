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
    try_cast({{ column }} as {{ exact_decimal() }}) as {{ column }},
    {{ column }} as {{ column }}_received,
    {% endfor -%}
    event_time,
    event_time_unread,
    cast(event_time as date) as event_date,
    reject_reason as domain_reason,
    ingested_at
from raw_events
