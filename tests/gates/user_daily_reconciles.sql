{#- Nothing is lost or counted twice between accepted_events and user_daily: over the days that the build
    wrote, each additive column has the same sum, and its running total grows by that sum. -#}
{% set columns = additive_columns(domain_settings().measures) %}
with

span as (

    select
        {{ 'rewrite_from' if only_new_rows() else 'data_from' }} as first_day,
        data_through as last_day
    from {{ ref('build_window') }}

),

accepted as (

    select
        {{ select_list(columns, 'coalesce(sum({adds}), 0) as {quoted}') }}
    from {{ ref('accepted_events') }} as events
    inner join span on events.event_date between span.first_day and span.last_day

),

-- the sum over the days, and the growth of the running total from the day before the first to the last
daily as (

    select
        {% for column in columns -%}
            coalesce(sum(case when day >= first_day then {{ column.quoted }} end), 0)
                as {{ column.quoted }},
            coalesce(sum(case when day = last_day then {{ column.name }}_total end), 0)
            - coalesce(sum(case when day < first_day then {{ column.name }}_total end), 0)
                as {{ column.name }}_gain{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('user_daily') }} as user_daily
    inner join span on user_daily.day between {{ add_days('span.first_day', -1) }} and span.last_day

),

sums as (

    {% for column in columns -%}
        select
            '{{ column.name }}' as column_name,
            accepted.{{ column.quoted }} as accepted,
            daily.{{ column.quoted }} as daily,
            daily.{{ column.name }}_gain as total
        from accepted
        cross join daily
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    column_name,
    concat(daily, ' in user_daily, ', total, ' in its totals') as found,
    concat(accepted, ' in accepted_events') as allowed
from sums
where daily <> accepted or total <> accepted
