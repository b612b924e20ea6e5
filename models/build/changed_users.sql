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
first_seen as (

    select
        received_user_id,
        min(first_date) as first_date
    from {{ ref('int_first_seen') }}
    group by received_user_id

),

linked as (

    select distinct from_id from {{ source('raw', 'identity_map') }}
    where linked_at > {{ since }}

),

-- both ends of every link of an id whose person changed
changed_links as ( -- noqa: ST03

    select
        identities.to_id as user_id,
        coalesce(first_seen.first_date, date '1900-01-01') as changed_from
    from {{ source('raw', 'identities') }} as identities
    inner join linked on identities.from_id = linked.from_id
    left join first_seen on linked.from_id = first_seen.received_user_id
    union all
    select
        linked.from_id as user_id,
        coalesce(first_seen.first_date, date '1900-01-01') as changed_from
    from linked
    left join first_seen on linked.from_id = first_seen.received_user_id

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
