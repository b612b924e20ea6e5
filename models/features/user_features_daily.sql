{{ config(
    materialized='incremental',
    unique_key=on_spark('as_of_date'),
    partition_by=on_spark('as_of_date'),
    on_schema_change='sync_all_columns',
    pre_hook="{{ delete_rows_to_write('as_of_date') }}",
    post_hook=["{{ write_other_blocks() }}", "{{ keep_within_build_window('as_of_date') }}"]
) }}
{% set settings = domain_settings() %}
{% set windows = settings.feature_windows_days %}
{% set shortest, longest = windows | first, windows | last %}
{% set block = first_block() %}

with

records as (select * from {{ ref('stg_user_records') }}),

users as (select * from {{ ref('user_windows') }}),

user_daily as {{ in_place() }} (select * from {{ ref('user_daily') }}),

today as (

    select
        user_daily.*,
        users.signup_date
    from user_daily
    inner join users
        on user_daily.user_id = users.user_id and user_daily.day >= users.{{ first_day_to_write() }}
    where {{ in_block('user_daily.day', block) }}

),

{% for window in windows -%}
back_{{ window }} as (

    select * from user_daily
    where {{ in_block('day', block, window) }}

),

{% endfor -%}
-- a window's total is the running total of its last day less that of the day before its first
totals as (

    select
        today.user_id,
        today.day as as_of_date,
        today.signup_date,
        today.last_active_on,
        {% for column in additive_columns(settings.measures) -%}
            {% for window in windows -%}
                today.{{ column.name }}_total - coalesce(back_{{ window }}.{{ column.name }}_total, 0)
                    as {{ column.name }}_{{ window }}d,
            {% endfor -%}
        {% endfor -%}
        {% for window in windows -%}
            today.active_days_total - coalesce(back_{{ window }}.active_days_total, 0)
                as active_days_{{ window }}d{{ ',' if not loop.last }}
        {% endfor %}
    from today
    {% for window in windows -%}
        left join back_{{ window }}
            on
                today.user_id = back_{{ window }}.user_id
                and back_{{ window }}.day = {{ add_days('today.day', -window) }}
    {% endfor %}
)

select /*+ rebalance(as_of_date) */
    totals.user_id,
    totals.as_of_date,
    coalesce(
        totals.last_active_on > {{ add_days('totals.as_of_date', -settings.eligibility_days) }}, false
    ) as is_eligible,
    {% for attribute in settings.attributes -%}
        records.{{ attribute }},
    {% endfor -%}
    -- signing up is the first sign of life
    {{ day_number('totals.as_of_date') }}
    - {{ day_number('coalesce(totals.last_active_on, totals.signup_date)') }}
        as days_since_last_activity,
    {{ day_number('totals.as_of_date') }} - {{ day_number('totals.signup_date') }} as tenure_days,
    {% for window in windows -%}
        cast(totals.active_days_{{ window }}d as integer) as active_days_{{ window }}d,
        cast(totals.events_{{ window }}d as integer) as events_{{ window }}d,
    {% endfor -%}
    {% for measure in settings.measures -%}
        {% for window in windows -%}
            {{ measure_over('totals', measure, window) }} as {{ measure.name }}_{{ window }}d,
        {% endfor -%}
        {{ measure_trend('totals', measure, shortest, longest) }} as {{ measure.name }}_trend
        {{- ',' if not loop.last or settings.ratios }}
    {% endfor -%}
    {% for ratio in settings.ratios -%}
        {{ ratio_over('totals', ratio, longest) }} as {{ ratio.name }}_{{ longest }}d
        {{- ',' if not loop.last }}
    {% endfor %}
from totals
inner join records
    on
        totals.user_id = records.user_id
        and totals.as_of_date >= records.valid_from
        and totals.as_of_date < records.valid_to
