{{ config(materialized='view') }}

with

contacts as (select * from {{ ref('stg_raw__treatments') }}),

files as (select * from {{ source('raw', 'files') }})

select
    case
        when contacts.user_id is null then 'missing_user_id' else 'unreadable_treated_at'
    end as reject_reason,
    files.name as file_name,
    contacts.row_id,
    contacts.user_id,
    contacts.campaign,
    contacts.treated_at_unread,
    contacts.ingested_at
from contacts
inner join files on contacts.file_id = files.file_id
where contacts.user_id is null or contacts.treated_at is null
