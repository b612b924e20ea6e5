{{ config(
    materialized='incremental',
    unique_key=on_spark('day'),
    partition_by=on_spark('day'),
    on_schema_change='sync_all_columns',
    pre_hook="{{ delete_rows_to_write('day') }}",
    post_hook=["{{ write_other_blocks(carried_totals) }}", "{{ keep_within_build_window('day') }}"]
) }}
{% set columns = additive_columns(domain_settings().measures) %}
{% set block = first_block() %}

with

block as (

    select max(day) as last_day
    from {{ ref('days') }}
    where {{ in_block('day', block) }}

),

users as (

    select
        users.user_id,
        users.data_from,
        greatest(users.data_from, users.{{ first_day_to_write() }}, {{ block.first_day }}) as first_day
    from {{ ref('user_windows') }} as users
    inner join block
        on greatest(users.data_from, users.{{ first_day_to_write() }}) <= block.last_day

),

events as (

    select events.*
    from {{ ref('stg_events') }} as events
    inner join users on events.user_id = users.user_id and events.event_date >= users.first_day
    inner join block on events.event_date <= block.last_day
    where {{ in_block('events.event_date', block) }}

),

-- each user's row of the day before the first
carried as (

    {{ carried_totals(block, is_incremental()) }}

),

-- totals change on days with events alone, after the first day opens with what is carried
steps as (

    select
        users.user_id,
        users.first_day as day,
        false as has_events,
        carried.last_active_on,
        {% for column in columns -%}
            carried.{{ column.name }}_total as {{ column.name }},
        {% endfor -%}
        carried.active_days_total as active_days
    from users
    left join carried on users.user_id = carried.user_id
    union all
    select
        user_id,
        event_date as day,
        true as has_events,
        max(case when is_activity then event_date end) as last_active_on,
        {% for column in columns -%}
            sum({{ added(column) }}) as {{ column.name }},
        {% endfor -%}
        max(case when is_activity then 1 else 0 end) as active_days
    from events
    group by user_id, event_date

),

running as (

    select
        steps.*,
        {% for column in columns -%}
            sum({{ column.name }}) over so_far as {{ column.name }}_total,
        {% endfor -%}
        sum(active_days) over so_far as active_days_total,
        max(last_active_on) over so_far as last_active_so_far,
        coalesce(
            {{ add_days('lead(day) over so_far', -1) }}, (select last_day from block)
        ) as holds_through
    from steps
    window so_far as (partition by user_id order by day, has_events)

),

-- silence: a step's totals hold until the next
held as (

    select
        running.*,
        {{ day_series('day', 'holds_through') }} as held_on
    from running
    where day <= holds_through

)

select /*+ rebalance(day) */
    user_id,
    held_on as day,
    has_events and held_on = day and active_days = 1 as is_active,
    {% for column in columns -%}
        cast(
            case when has_events and held_on = day then coalesce({{ column.name }}, 0) else 0 end
            as {{ column.type }}
        ) as {{ column.name }},
    {% endfor -%}
    {% for column in columns -%}
        cast(coalesce({{ column.name }}_total, 0) as {{ column.type }}) as {{ column.name }}_total,
    {% endfor -%}
    cast(coalesce(active_days_total, 0) as integer) as active_days_total,
    last_active_so_far as last_active_on
from held
{{ in_day_order('held_on') }}
