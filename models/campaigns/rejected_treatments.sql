{{ config(materialized='view') }}

with

contacts as (select * from {{ ref('stg_raw__treatments') }}),

files as (select * from {{ source('raw', 'files') }})

select
    contacts.reject_reason,
    files.name as file_name,
    contacts.row_id,
    contacts.user_id,
    contacts.campaign,
    contacts.treated_at,
    contacts.treated_at_unread,
    contacts.ingested_at
from contacts
inner join files on contacts.file_id = files.file_id
where contacts.reject_reason is not null
