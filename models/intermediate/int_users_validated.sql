{% set settings = domain_settings() %}

with

records as (select * from {{ ref('stg_raw__users') }})

select
    *,
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
