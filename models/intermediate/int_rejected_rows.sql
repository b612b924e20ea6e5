{{ config(materialized='view') }}

with

users as (select * from {{ ref('rejected_users') }}),

events as (select * from {{ ref('rejected_events') }}),

treatments as (select * from {{ ref('rejected_treatments') }})

select
    cast('users' as string) as table_name,
    user_id,
    cast(null as string) as event_id,
    reject_reason,
    file_name,
    row_id,
    ingested_at
from users
union all
select
    cast('events' as string) as table_name,
    user_id,
    event_id,
    reject_reason,
    file_name,
    row_id,
    ingested_at
from events
union all
select
    cast('treatments' as string) as table_name,
    user_id,
    cast(null as string) as event_id,
    reject_reason,
    file_name,
    row_id,
    ingested_at
from treatments
