{{ config(materialized='view') }}

with

checked as (select * from {{ ref('int_events_validated') }}),

files as (select * from {{ source('raw', 'files') }})

select
    checked.reject_reason,
    files.name as file_name,
    checked.row_id,
    checked.event_id,
    checked.user_id,
    checked.event_type,
    {% for column in event_columns(domain_settings()) -%}
    checked.{{ column.received }} as {{ column.name }},
    {% endfor -%}
    checked.event_time,
    checked.event_time_unread,
    checked.ingested_at
from checked
inner join files on checked.file_id = files.file_id
where checked.reject_reason in ({{ set_aside_reasons() }})
