{#- A value that belongs to some event types (only_on) appears on at most elsewhere_share of other
    events, over the days that the build wrote. -#}
with

written as (

    select
        {{ 'rewrite_from' if only_new_rows() else 'data_from' }} as first_day,
        data_through as last_day
    from {{ ref('build_window') }}

),

events as (

    select events.*
    from {{ ref('accepted_events') }} as events
    inner join written on events.event_date between written.first_day and written.last_day

),

shares as (

    {% for column, check in domain_settings().checks.items() if check.get('only_on') -%}
        select
            '{{ column }}' as value_name,
            avg(case when {{ adapter.quote(column) }} is not null then 1e0 else 0e0 end) as share,
            {{ check.elsewhere_share }} as limit_share
        from events
        where event_type not in ({{ text_list(check.only_on) }})
        union all
    {% endfor -%}
    select
        'none' as value_name,
        0.0 as share,
        1.0 as limit_share

)

select
    value_name,
    round(share, 4) as found,
    concat('at most ', limit_share) as allowed
from shares
where share > limit_share
