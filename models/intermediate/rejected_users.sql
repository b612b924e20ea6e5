{{ config(materialized='view') }}

with

checked as (select * from {{ ref('int_users_validated') }}),

files as (select * from {{ source('raw', 'files') }})

select
    checked.reject_reason,
    files.name as file_name,
    checked.row_id,
    checked.user_id,
    {% for attribute in attribute_columns(domain_settings()) -%}
    checked.{{ attribute }},
    {% endfor -%}
    checked.signup_date,
    checked.signup_date_unread,
    checked.updated_at_unread,
    checked.ingested_at
from checked
inner join files on checked.file_id = files.file_id
where checked.reject_reason is not null
