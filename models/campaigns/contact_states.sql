{{ config(materialized='view') }}

with

contacts as (select * from {{ ref('contacts') }}),

newest as (

    select
        user_id,
        max(treated_at) filter (where action = 'snoozed') as snoozed_at,
        max(treated_at) filter (where {{ adapter.quote('owner') }} is not null) as assigned_at
    from contacts
    group by user_id

)

-- of two of one moment the later day, and the last of the names: a rerun changes nothing
select
    contacts.user_id,
    max(contacts.treated_on) filter (where contacts.action = 'contacted') as last_contact_on,
    max(contacts.snoozed_until) filter (
        where contacts.action = 'snoozed' and contacts.treated_at = newest.snoozed_at
    ) as snoozed_until,
    max(contacts.{{ adapter.quote('owner') }}) filter (
        where contacts.treated_at = newest.assigned_at
    ) as {{ adapter.quote('owner') }}
from contacts
inner join newest on contacts.user_id = newest.user_id
group by contacts.user_id
