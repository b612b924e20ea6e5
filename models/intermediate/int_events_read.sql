{{ config(materialized='view') }}
{% set settings = domain_settings() %}
{% set person = 'raw_events.user_id' %}
{% set person = 'coalesce(identities.user_id, ' ~ person ~ ')' if settings.has_identities else person %}

with

{% if settings.has_identities -%}
identities as (select * from {{ source('raw', 'identity_map') }}),

{% endif -%}
raw_events as {{ in_place() }} (select * from {{ ref('stg_raw__events') }})

-- row_reason: the first check that fails on the row alone
select
    raw_events.row_id,
    raw_events.file_id,
    raw_events.event_id,
    {{ person }} as user_id,
    {{ 'raw_events.user_id as received_user_id,' if settings.has_identities }}
    raw_events.event_type,
    {% for column in event_columns(settings) -%}
    raw_events.{{ column.name }},
    raw_events.{{ column.received }},
    {% endfor -%}
    raw_events.event_time,
    raw_events.event_time_unread,
    raw_events.event_date,
    raw_events.version,
    raw_events.is_deleted,
    raw_events.ingested_at,
    case
        when raw_events.change_unread is not null then 'unreadable_version'
        when raw_events.is_deleted and raw_events.event_id is not null then null
        when raw_events.domain_reason = 'forgotten_user' then raw_events.domain_reason
        when {{ is_blank('raw_events.event_id') }} then 'missing_event_id'
        when {{ is_blank('raw_events.user_id') }} then 'missing_user_id'
        when raw_events.event_time is null then 'unreadable_event_time'
        when {{ before_first_day('raw_events.event_time', 'raw_events.ingested_at') }}
            then 'event_time_before_first_day'
        when
            raw_events.event_time
            > raw_events.ingested_at + interval '{{ settings.arrival_tolerance_minutes }}' minute
            then 'event_time_after_arrival'
        when raw_events.domain_reason is not null then raw_events.domain_reason
    {% for column in event_columns(settings) -%}
        when {{ not_a_number('raw_events.' ~ column.received) }} then '{{ column.plain }}_not_a_number'
        when raw_events.{{ column.name }} is null and raw_events.{{ column.received }} is not null
            then '{{ column.plain }}_out_of_range'
        {% if column.plain in settings.checks -%}
        {% set value, check = 'raw_events.' ~ column.name, settings.checks[column.plain] -%}
        when {{ out_of_range(value, check, 'raw_events.event_type') }}
            then '{{ column.plain }}_out_of_range'
        {% endif -%}
    {% endfor %}
    end as row_reason
from raw_events
{% if settings.has_identities -%}
left join identities
    on
        raw_events.user_id = identities.from_id
        and raw_events.event_time >= identities.valid_from
        and raw_events.event_time < identities.valid_to
{%- endif %}
