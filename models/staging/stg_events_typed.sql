{{ config(materialized='view') }}
{% set settings = domain_settings() %}
{% set columns = event_columns(settings) %}

with

raw_events as (select * from {{ source('raw', 'events') }}),

typed as (

    select
        row_id,
        file_id,
        event_id,
        user_id,
        event_type,
        {% for column in columns -%}
        {{ try_cast(column, exact_decimal()) }} as {{ column }},
        {{ column }} as {{ column }}_received,
        {% endfor -%}
        event_time,
        event_time_unread,
        cast(event_time as date) as event_date,
        reject_reason as domain_reason,
        ingested_at
    from raw_events

)

select
    typed.*,
    case
        when domain_reason = 'forgotten_user' then domain_reason
        when event_id is null or trim(event_id) = '' then 'missing_event_id'
        when user_id is null or trim(user_id) = '' then 'missing_user_id'
        when event_time is null then 'unreadable_event_time'
        when event_time > ingested_at + interval '{{ settings.arrival_tolerance_minutes }}' minute
            then 'event_time_after_arrival'
        when domain_reason is not null then domain_reason
    {% for column in columns -%}
        when {{ column }} is null and {{ column }}_received is not null
            then '{{ column }}_out_of_range'
        {% if column in settings.checks -%}
        when {{ out_of_range(column, settings.checks[column]) }}
            then '{{ column }}_out_of_range'
        {% endif -%}
    {% endfor %}
    end as row_reason
from typed
