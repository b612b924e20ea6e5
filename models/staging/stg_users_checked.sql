{% set settings = domain_settings() %}

with

records as (select * from {{ source('raw', 'users') }})

select
    row_id,
    file_id,
    cast(user_id as string) as user_id,
    {% for attribute in settings.attributes -%}
    cast({{ attribute }} as string) as {{ attribute }},
    {% endfor -%}
    signup_date,
    signup_date_unread,
    updated_at_unread,
    cast(coalesce(updated_at, ingested_at) as date) as changed_on,
    ingested_at,
    case
        when user_id is null or trim(user_id) = '' then 'missing_user_id'
        when signup_date is null then 'unreadable_signup_date'
        when updated_at_unread is not null then 'unreadable_updated_at'
        when signup_date > cast(ingested_at as date) then 'signup_after_arrival'
    {% for attribute in settings.attributes if attribute in settings.checks -%}
            when {{ out_of_range(attribute, settings.checks[attribute]) }}
                then '{{ attribute }}_not_allowed'
        {% endfor %}
    end as reject_reason
from records
