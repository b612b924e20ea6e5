-- depends_on: {{ ref('int_first_seen') }}
{% set since = last_build('ingested_through') %}
{% set settings = domain_settings() %}

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

    {{ moved_users(since) }}

),

{% if settings.has_identities -%}
-- each person is among the ids, and what left a person may have been of any day
changed_links as (

    select
        from_id as user_id,
        date '1900-01-01' as changed_from
    from {{ source('raw', 'identity_map') }}
    where linked_at > {{ since }}

),

{% endif -%}
changes as (

    select * from changed_events
    union all
    select * from changed_records
    union all
    select
        user_id,
        changed_from
    from moved_users
    {% if settings.has_identities -%}
    union all
    select * from changed_links
    {%- endif %}

)

select
    user_id,
    min(changed_from) as changed_from
from changes
where changed_from is not null
group by user_id
