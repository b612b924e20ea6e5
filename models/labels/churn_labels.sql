{% set horizon = domain_settings().churn_horizon_days %}
{{ config(
    materialized='incremental',
    unique_key='as_of_date',
    partition_by=on_spark('as_of_date'),
    post_hook="{{ keep_within_build_window('as_of_date', last_mature_day()) }}"
) }}

with

build_window as (select * from {{ ref('build_window') }}),

-- a day is labelled anew when any day of its window was written anew
user_daily as {{ in_place() }} (

    select user_daily.*
    from {{ ref('user_daily') }} as user_daily
    inner join build_window
        on user_daily.day >= {{ add_days('build_window.' ~ first_day_to_write(), -horizon) }}

),

today as (

    select user_daily.*
    from user_daily
    inner join build_window
        on user_daily.day <= {{ add_days('build_window.data_through', -horizon) }}

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
