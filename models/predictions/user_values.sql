{% set settings = domain_settings() %}
{% set value = settings.value %}
{% set horizons = value.horizon_days / settings.churn_horizon_days if value.measure else 1 %}
{% if value.measure %}{% set worth = 'recent.amount / recent.days * ' ~ settings.churn_horizon_days %}
{% elif value.column %}{% set worth = dbt.safe_cast('users.' ~ adapter.quote(value.column), 'double') %}
{% else %}{% set worth = value.sql or settings.user_value %}{% endif %}

with

users as (select * from {{ ref('user_features_latest') }}){{ ',' if value.measure }}

{% if value.measure -%}
days as (
    select *
    from {{ ref('user_daily') }}
    where day > {{ window_day(ref('build_window'), 'data_through', value.days) }}
),

-- what a user brought in the last days; a user who is newer has fewer of them
recent as (

    select
        user_id,
        cast(sum({{ adapter.quote(value.measure) }}) as double) as amount,
        count(*) as days
    from days
    group by user_id

)

{% endif -%}
select
    users.user_id,
    users.as_of_date,
    cast(greatest(coalesce({{ worth }}, {{ settings.user_value }}), 0) as double) as value_per_horizon,
    cast({{ horizons }} as double) as horizons
from users
{% if value.measure %}left join recent on users.user_id = recent.user_id{% endif %}
