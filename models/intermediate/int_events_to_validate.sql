{{ config(materialized='view') }}
-- depends_on: {{ ref('int_user_history') }}
-- depends_on: {{ ref('int_first_seen') }}
-- depends_on: {{ ref('placeholder_ids') }}
{% set settings = domain_settings() %}
{% set written = earlier_verdicts() %}

with

received as {{ in_place() }} (select * from {{ ref('int_events_read') }}),

users as (select * from {{ ref('int_users') }}),

event_types as (select * from {{ ref('int_event_types') }}),

{% if written -%}
before as (select max(ingested_at) as ingested_at from {{ written }}),

moved_users as (

    {{ moved_users('(select ingested_at from before)') }}

),

{% if settings.has_identities -%}
linked as (

    select from_id from {{ source('raw', 'identity_map') }}
    where linked_at > (select ingested_at from before)

),

{% endif -%}
-- their rows may get another verdict; rows that share an id are validated together
ids_to_judge as (

    select written.event_id
    from {{ written }} as written
    inner join moved_users on written.user_id = moved_users.user_id and moved_users.is_new
    where written.reject_reason in ('unknown_user', 'excluded_user')
    union
    select written.event_id
    from {{ written }} as written
    inner join moved_users on written.user_id = moved_users.user_id and not moved_users.is_new
    where written.event_id is not null
    {% if settings.has_identities -%}
    union
    select written.event_id
    from {{ written }} as written
    where written.received_user_id in (select linked.from_id from linked)
    {%- endif %}
    -- a new version may replace what was accepted
    union
    select received.event_id
    from received
    where
        received.ingested_at > (select ingested_at from before)
        and (received.version is not null or received.is_deleted)
    -- a deletion may have come before its event
    union
    select written.event_id
    from {{ written }} as written
    where
        written.reject_reason = 'deletion'
        and written.event_id in (
            select received.event_id from received
            where received.ingested_at > (select ingested_at from before)
        )

),

arrivals as (

    select
        received.*,
        true as is_new_row
    from received
    where ingested_at > (select ingested_at from before)
    union all
    select
        received.*,
        false as is_new_row
    from received
    where
        ingested_at <= (select ingested_at from before)
        and (
            event_id in (select event_id from ids_to_judge)
            {% if settings.has_identities -%}
            -- a reject without an id is of another person now
            or (event_id is null and received_user_id in (select linked.from_id from linked))
            {%- endif %}
        )

)
{%- else -%}
arrivals as (

    select
        received.*,
        true as is_new_row
    from received

)
{%- endif %}

select
    arrivals.*,
    {{ id_key('arrivals.event_id') }} as event_key,
    event_types.is_activity,
    case
        when arrivals.row_reason is not null then arrivals.row_reason
        when arrivals.is_deleted then null
        -- placeholders are no users, so only unknown ones need the slower check
        when users.user_id is null and lower(trim(arrivals.user_id)) in ({{ placeholder_ids() }})
            then 'missing_user_id'
        when event_types.event_type is null then 'unknown_event_type'
        when users.user_id is null then 'unknown_user'
        when users.exclude_reason is not null then 'excluded_user'
        when arrivals.event_date < users.signup_date then 'before_signup'
    end as reason
from arrivals
left join event_types on arrivals.event_type = event_types.event_type
left join users on arrivals.user_id = users.user_id
