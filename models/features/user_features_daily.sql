{{ config(materialized='day_table', day='as_of_date') }}
{% set settings = domain_settings() %}

with

user_history as (select * from {{ ref('int_user_history') }}),

users as (select * from {{ ref('user_windows') }}),

user_daily as {{ in_place() }} (select * from {{ ref('user_daily') }}),

today as (

    select
        user_daily.*,
        users.signup_date
    from user_daily
    inner join users on user_daily.user_id = users.user_id and user_daily.day >= users.rewrite_from
    where user_daily.day between {{ block_start() }} and {{ block_end() }}

),

-- a window's total: running total of its last day minus that of the day before its first
totals as (

    select
        today.user_id,
        today.day as as_of_date,
        today.signup_date,
        today.last_active_on,
        {{ select_list(
            window_totals(settings), 'today.{name}_total - coalesce(back_{n}.{name}_total, 0) as {name}_{n}d'
        ) }}
    from today
    {% for n in settings.feature_windows_days -%}
        left join user_daily as back_{{ n }}
            on
                today.user_id = back_{{ n }}.user_id
                and back_{{ n }}.day = {{ add_days('today.day', -n) }}
                and back_{{ n }}.day >= {{ add_days(block_start(), -n) }}
                and back_{{ n }}.day <= {{ add_days(block_end(), -n) }}
    {% endfor %}
)

select
    totals.user_id,
    totals.as_of_date,
    coalesce(
        totals.last_active_on > {{ add_days('totals.as_of_date', -settings.eligibility_days) }}, false
    ) as is_eligible,
    {% for attribute in settings.attributes %}user_history.{{ attribute }}, {% endfor %}
    -- users who were never active count from signup
    {{ day_number('totals.as_of_date') }}
    - {{ day_number('coalesce(totals.last_active_on, totals.signup_date)') }}
        as days_since_last_activity,
    {{ day_number('totals.as_of_date') }} - {{ day_number('totals.signup_date') }} as tenure_days,
    {{ select_list(feature_columns(settings), '{sql} as {name}') }}
from totals
inner join user_history
    on
        totals.user_id = user_history.user_id
        and totals.as_of_date >= user_history.valid_from
        and totals.as_of_date < user_history.valid_to
