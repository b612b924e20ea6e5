{{ config(materialized='day_table', day='as_of_date') }}
{% set settings = domain_settings() %}

with

user_history as (select * from {{ ref('int_user_history') }}),

users as (select * from {{ ref('user_windows') }}),

days as (select * from {{ ref('days') }}),

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
        today.active_days_total,
        today.events_total,
        days.unknown_days,
        days.known_days,
        {{ select_list(
            window_totals(settings), 'today.{name}_total - coalesce(back_{n}.{name}_total, 0) as {name}_{n}d'
        ) }}
    from today
    inner join days on today.day = days.day
    {% for n in settings.feature_windows_days -%}
        left join user_daily as back_{{ n }}
            on
                today.user_id = back_{{ n }}.user_id
                and days.back_{{ n }} = back_{{ n }}.day
                and back_{{ n }}.day >= {{ earliest_back(n) }}
                and back_{{ n }}.day <= {{ add_days(block_end(), -n) }}
    {% endfor %}
),

-- silence counts from the last active day, or from signup for users who were never active
silences as (

    select
        totals.*,
        {{ day_number('totals.as_of_date') }}
        - {{ day_number('coalesce(totals.last_active_on, totals.signup_date)') }}
        - (totals.unknown_days - coalesce(days.unknown_days, 0))
            as days_since_last_activity,
        totals.known_days - coalesce(before_signup.known_days, 0) as observed_days
    from totals
    left join days on coalesce(totals.last_active_on, totals.signup_date) = days.day
    left join days as before_signup on {{ add_days('totals.signup_date', -1) }} = before_signup.day

)

select
    silences.user_id,
    silences.as_of_date,
    silences.last_active_on is not null
    and silences.days_since_last_activity < {{ settings.eligibility_days }} as is_eligible,
    {% for attribute in attribute_columns(settings) %}user_history.{{ attribute }}, {% endfor %}
    silences.days_since_last_activity,
    {{ day_number('silences.as_of_date') }} - {{ day_number('silences.signup_date') }} as tenure_days,
    {{ select_list(feature_columns(settings), '{sql} as {quoted}') }}
from silences
inner join user_history
    on
        silences.user_id = user_history.user_id
        and silences.as_of_date >= user_history.valid_from
        and silences.as_of_date < user_history.valid_to
