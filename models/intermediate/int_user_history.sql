{% set settings = domain_settings() %}

with

records as (

    select * from {{ ref('int_users_validated') }}
    where reject_reason is null

),

ordered as (

    select
        records.*,
        -- users derived from events sign up at their earliest date, others on the newest record's date
        {% if settings.users_from_events -%}
        min(signup_date) over (partition by user_id) as user_signup_date,
        {% else -%}
        last_value(signup_date) over (
            partition by user_id
            order by changed_on, row_id
            rows between unbounded preceding and unbounded following
        ) as user_signup_date,
        {% endif -%}
        row_number() over (partition by user_id order by changed_on, row_id) as record_number,
        lead(changed_on) over (partition by user_id order by changed_on, row_id) as valid_to
    from records

)

select
    row_id,
    user_id,
    {% for attribute in settings.attributes -%}
    {{ attribute }},
    {% endfor -%}
    signup_date,
    user_signup_date,
    valid_to is null as is_current,
    -- the first record is valid from the start
    case
        when record_number = 1 then least(user_signup_date, changed_on) else changed_on
    end as valid_from,
    coalesce(valid_to, date '9999-12-31') as valid_to,
    ingested_at
from ordered
