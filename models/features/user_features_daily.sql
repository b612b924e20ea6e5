{{ config(materialized='view') }}
{% set settings = domain_settings() %}

with

user_history as (select * from {{ ref('int_user_history') }}),

users as (select * from {{ ref('accepted_users') }}),

days as {{ in_place() }} (select * from {{ ref('days') }}),

user_daily as {{ in_place() }} (select * from {{ ref('user_daily') }}),

-- running totals before each window: those of the day before its first
{% for n in settings.feature_windows_days -%}
before_{{ n }} as (

    select
        days.day as as_of_date,
        user_daily.*
    from user_daily
    inner join days on user_daily.day = days.back_{{ n }}

),

{% endfor -%}
totals as (

    select
        today.user_id,
        today.day as as_of_date,
        users.signup_date,
        today.last_active_on,
        today.active_days_total,
        today.events_total,
        days.unknown_days,
        days.known_days,
        {{ select_list(
            window_totals(settings), 'today.{name}_total - coalesce(before_{n}.{name}_total, 0) as {name}_{n}d'
        ) }}
    from user_daily as today
    inner join users on today.user_id = users.user_id
    inner join days on today.day = days.day
    {% for n in settings.feature_windows_days -%}
    left join before_{{ n }}
        on today.user_id = before_{{ n }}.user_id and today.day = before_{{ n }}.as_of_date
    {% endfor %}
),

-- silence counts from the last active day, or from signup for users who were never active
silences as (

    select
        totals.*,
        {{ known_days_between(
            'coalesce(totals.last_active_on, totals.signup_date)', 'totals.as_of_date', 'days', 'totals'
        ) }} as days_since_last_activity,
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
