{{ config(materialized='day_table', day='as_of_date', looks_ahead='churn_horizon_days') }}
{% set horizon = domain_settings().churn_horizon_days %}

with

users as (select * from {{ ref('user_windows') }}),

user_daily as {{ in_place() }} (select * from {{ ref('user_daily') }}),

-- days whose label window has no unknown day
closed as (

    select days.day
    from {{ ref('days') }} as days
    inner join {{ ref('days') }} as ends
        on {{ add_days('days.day', horizon) }} = ends.day and days.unknown_days = ends.unknown_days

),

-- a day is labelled again if any day of its label window was rewritten
today as (

    select user_daily.*
    from user_daily
    inner join users
        on
            user_daily.user_id = users.user_id
            and user_daily.day >= {{ add_days('users.rewrite_from', -horizon) }}
    inner join closed on user_daily.day = closed.day
    where user_daily.day between {{ block_start() }} and {{ block_end() }}

),

later as (

    select * from user_daily
    where day between {{ add_days(block_start(), horizon) }} and {{ add_days(block_end(), horizon) }}

)

select
    today.user_id,
    today.day as as_of_date,
    cast(
        case when later.active_days_total > today.active_days_total then 0 else 1 end as integer
    ) as churn_label
from today
inner join later
    on
        today.user_id = later.user_id
        and later.day = {{ add_days('today.day', horizon) }}
