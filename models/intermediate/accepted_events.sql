{{ config(materialized='view') }}

with

checked as (select * from {{ ref('int_events_validated') }})

select
    row_id,
    event_id,
    user_id,
    event_type,
    {% for column in event_columns(domain_settings()) -%}
    {{ column.name }},
    {% endfor -%}
    is_activity,
    event_time,
    {{ accepted_date() }} as event_date,
    ingested_at,
    written_at
from checked
where reject_reason is null
