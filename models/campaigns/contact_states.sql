{{ config(materialized='view') }}

with

contacts as (select * from {{ ref('contacts') }})

select
    user_id,
    max(treated_on) filter (where action = 'contacted') as last_contact_on,
    max_by(snoozed_until, treated_at) filter (where action = 'snoozed') as snoozed_until,
    max_by(owner, treated_at) filter (where owner is not null) as {{ adapter.quote('owner') }}
from contacts
group by user_id
