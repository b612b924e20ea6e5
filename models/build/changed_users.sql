{% set since = last_build('ingested_through') %}

with

events as (select * from {{ ref('int_events_validated') }}),

records as (select * from {{ ref('int_user_history') }}),

changed_events as (

    select
        user_id,
        touches_date as changed_from
    from events
    where written_at > {{ since }} and touches_date is not null

),

changed_records as (

    select
        user_id,
        valid_from as changed_from
    from records
    where ingested_at > {{ since }}

),

moved_users as (

    select
        user_id,
        min(least(signup_date, valid_from)) as changed_from
    from records
    group by user_id
    having {{ signup_moved(domain_settings(), since) }}

),

changes as (

    select * from changed_events
    union all
    select * from changed_records
    union all
    select * from moved_users

)

select
    user_id,
    min(changed_from) as changed_from
from changes
group by user_id
