-- depends_on: {{ ref('placeholder_ids') }}
{% set settings = domain_settings() %}

with

records as (select * from {{ ref('stg_raw__users') }}),

identities as (select * from {{ source('raw', 'identity_map') }})

select
    records.row_id,
    records.file_id,
    coalesce(identities.user_id, records.user_id) as user_id,
    coalesce(identities.user_id, records.user_id) = records.user_id as is_own_id,
    {% for attribute in attribute_columns(settings) -%}
    records.{{ attribute }},
    {% endfor -%}
    records.signup_date,
    records.signup_date_unread,
    records.updated_at_unread,
    records.changed_at,
    records.changed_on,
    records.version,
    records.is_deleted,
    records.exclude_reason,
    records.ingested_at,
    case
        when records.domain_reason = 'forgotten_user' then records.domain_reason
        when {{ is_blank('records.user_id') }} then 'missing_user_id'
        when lower(trim(records.user_id)) in ({{ placeholder_ids() }}) then 'missing_user_id'
        when length(records.user_id) > {{ longest_id() }} then 'user_id_too_long'
        when {{ has_control_characters('records.user_id') }} then 'user_id_with_control_characters'
        when records.updated_at_unread is not null then 'unreadable_updated_at'
        when records.is_deleted then null
        when records.domain_reason is not null then records.domain_reason
    {% if not settings.users_from_events -%}
        when records.signup_date is null then 'unreadable_signup_date'
        when {{ before_first_day('records.signup_date', 'records.ingested_at') }}
            then 'signup_before_first_day'
        when records.signup_date > {{ local_date('records.ingested_at') }} then 'signup_after_arrival'
    {%- endif %}
    {% for attribute in settings.attributes if attribute in settings.checks -%}
            when {{ out_of_range('records.' ~ adapter.quote(attribute), settings.checks[attribute]) }}
                then '{{ attribute }}_not_allowed'
        {% endfor %}
    end as reject_reason
from records
left join identities
    on
        records.user_id = identities.from_id
        and records.changed_at >= identities.valid_from
        and records.changed_at < identities.valid_to
