{% set horizon = domain_settings().churn_horizon_days %}
{{ config(
    materialized='incremental',
    unique_key=on_spark('as_of_date'),
    partition_by=on_spark('as_of_date'),
    pre_hook="{{ delete_rows_to_write('as_of_date', domain_settings().churn_horizon_days) }}",
    post_hook="{{ keep_within_build_window('as_of_date', last_mature_day()) }}"
) }}

with

build_window as (select * from {{ ref('build_window') }}),

users as (select * from {{ ref('user_windows') }}),

user_daily as {{ in_place() }} (

    select * from {{ ref('user_daily') }}
    where day >= {{ add_days(first_block().first_day, -horizon) }}

),

-- a day is labelled anew when any day of its window was written anew
today as (

    select user_daily.*
    from user_daily
    inner join build_window
        on user_daily.day <= {{ add_days('build_window.data_through', -horizon) }}
    inner join users
        on
            user_daily.user_id = users.user_id
            and user_daily.day >= {{ add_days('users.' ~ first_day_to_write(), -horizon) }}

)

select /*+ rebalance(as_of_date) */
    today.user_id,
    today.day as as_of_date,
    cast(
        case when later.active_days_total > today.active_days_total then 0 else 1 end as integer
    ) as churn_label
from today
inner join user_daily as later
    on
        today.user_id = later.user_id
        and later.day = {{ add_days('today.day', horizon) }}
