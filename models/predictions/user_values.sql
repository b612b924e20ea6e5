-- depends_on: {{ ref('build_window') }}
-- depends_on: {{ ref('user_daily') }}
-- depends_on: {{ ref('days') }}
{% set settings = domain_settings() %}
{% set value = settings.value %}
{% set horizon = settings.churn_horizon_days %}
{% set horizons = value.horizon_days / horizon if value.measure else 1 %}
{% set worth = 'cast((' ~ (value.sql or settings.user_value) ~ ') as double)' %}
{% set worth = 'try_cast(' ~ adapter.quote(value.column) ~ ' as double)' if value.column else worth %}

with

users as (select * from {{ ref('user_features_latest') }}),

{% if value.measure -%}
build_window as (select * from {{ ref('build_window') }}),

daily as (select * from {{ ref('user_daily') }}),

days as (select * from {{ ref('days') }}),

-- what a user brought in the last known days; of a new user we know too little for less than a horizon
recent as (

    select
        daily.user_id,
        cast(sum(daily.{{ adapter.quote(value.measure) }}) as double) as amount,
        greatest(count(*), {{ horizon }}) as days
    from daily
    inner join days on daily.day = days.day
    inner join build_window
        on daily.day > {{ add_days('build_window.data_through', -value.days) }}
    where not days.is_unknown
    group by daily.user_id

),

{% endif -%}
worths as (

    {% if value.measure -%}
    select
        users.user_id,
        users.as_of_date,
        recent.amount / recent.days * {{ horizon }} as worth
    from users
    left join recent on users.user_id = recent.user_id
    {%- else -%}
    select
        user_id,
        as_of_date,
        {{ worth }} as worth
    from users
    {%- endif %}

)

-- NaN is larger than any number
select
    user_id,
    as_of_date,
    cast(
        case
            when worth < 0 then 0
            when worth < 1e15 then worth
            else {{ settings.user_value }}
        end as double
    ) as value_per_horizon,
    cast({{ horizons }} as double) as horizons
from worths
