{{ config(materialized='view') }}
-- depends_on: {{ ref('int_user_history') }}
{% set settings = domain_settings() %}
{% set written = earlier_verdicts() %}

with

raw_events as {{ in_place() }} (select * from {{ ref('stg_raw__events') }}),

-- row_reason: the first check that fails on the row alone
received as {{ in_place() }} (

    select
        *,
        case
            when domain_reason = 'forgotten_user' then domain_reason
            when event_id is null or trim(event_id) = '' then 'missing_event_id'
            when user_id is null or trim(user_id) = '' then 'missing_user_id'
            when event_time is null then 'unreadable_event_time'
            when event_time > ingested_at + interval '{{ settings.arrival_tolerance_minutes }}' minute
                then 'event_time_after_arrival'
            when domain_reason is not null then domain_reason
        {% for column in event_columns(settings) -%}
            when {{ column }} is null and {{ column }}_received is not null
                then '{{ column }}_out_of_range'
            {% if column in settings.checks -%}
            when {{ out_of_range(column, settings.checks[column]) }}
                then '{{ column }}_out_of_range'
            {% endif -%}
        {% endfor %}
        end as row_reason
    from raw_events

),

users as (select * from {{ ref('accepted_users') }}),

event_types as (select * from {{ ref('int_event_types') }}),

{% if written -%}
before as (select max(ingested_at) as ingested_at from {{ written }}),

-- users who are new since then, or whose signup date changed
moved_users as (

    select
        user_id,
        min(ingested_at) > (select ingested_at from before) as is_new
    from {{ ref('int_user_history') }}
    group by user_id
    having {{ signup_moved(settings, '(select ingested_at from before)') }}

),

-- their rows may get another verdict; rows that share an id are validated together
ids_to_judge as (

    select written.event_id
    from {{ written }} as written
    inner join moved_users on written.user_id = moved_users.user_id and moved_users.is_new
    where written.reject_reason = 'unknown_user'
    union
    select written.event_id
    from {{ written }} as written
    inner join moved_users on written.user_id = moved_users.user_id and not moved_users.is_new
    where written.event_id is not null

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
        and event_id in (select event_id from ids_to_judge)

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
        when event_types.event_type is null then 'unknown_event_type'
        when users.user_id is null then 'unknown_user'
        when arrivals.event_date < users.signup_date then 'before_signup'
    end as reason
from arrivals
left join event_types on arrivals.event_type = event_types.event_type
left join users on arrivals.user_id = users.user_id
