{{ config(materialized='view') }}

with

raw_users as (select * from {{ source('raw', 'users') }})

select
    row_id,
    file_id,
    cast(user_id as string) as user_id,
    {% for attribute in domain_settings().attributes -%}
    cast({{ attribute }} as string) as {{ attribute }},
    {% endfor -%}
    signup_date,
    signup_date_unread,
    updated_at_unread,
    cast(coalesce(updated_at, ingested_at) as date) as changed_on,
    ingested_at
from raw_users
