{% set settings = domain_settings() %}

with

records as (

    select * from {{ ref('int_users_validated') }}
    where reject_reason is null

),

first_seen as (

    select
        user_id,
        min(first_date) as first_date
    from {{ ref('int_first_seen') }}
    {{ '' if settings.users_from_events else 'where user_id <> received_user_id' }}
    group by user_id

),

-- a record of another id of the same person comes before the person's own
ordered as (

    select
        *,
        row_number() over by_version as record_number,
        lead(row_id) over by_version is null as is_current
    from records
    window by_version as (
        partition by user_id
        order by is_own_id, coalesce(version, {{ microseconds('changed_at') }}), row_id
    )

),

-- a version that arrives late is valid until the newer one that is there already
dated as (

    select
        *,
        min(changed_on) over from_here as valid_from,
        max(case when is_current then signup_date end) over (partition by user_id) as newest_signup_date
    from ordered
    window from_here as (
        partition by user_id
        order by record_number
        rows between current row and unbounded following
    )

),

signed_up as (

    select
        dated.*,
        {% if settings.users_from_events -%}
        first_seen.first_date as user_signup_date
        {% else -%}
        least(dated.newest_signup_date, coalesce(first_seen.first_date, dated.newest_signup_date))
            as user_signup_date
        {% endif -%}
    from dated
    left join first_seen on dated.user_id = first_seen.user_id

)

select
    row_id,
    user_id,
    {% for attribute in attribute_columns(settings) -%}
    {{ attribute }},
    {% endfor -%}
    signup_date,
    user_signup_date,
    is_current,
    is_deleted,
    exclude_reason,
    -- the first record is valid from the start
    case
        when record_number = 1 then least(coalesce(user_signup_date, valid_from), valid_from)
        else valid_from
    end as valid_from,
    coalesce(
        lead(valid_from) over (partition by user_id order by record_number), date '9999-12-31'
    ) as valid_to,
    ingested_at
from signed_up
