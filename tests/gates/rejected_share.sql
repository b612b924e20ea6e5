{#- The share of rejected rows is at most max_rejected_share, in the newest load and in all loads. The
    three commonest reasons are named, each with a value that shows why. -#}
{% set limit = domain_settings().max_rejected_share %}
with

events as {{ in_place() }} (select * from {{ ref('int_events_validated') }}),

newest_load as (select max(ingested_at) as ingested_at from events),

refused as (

    select
        events.row_id,
        events.ingested_at,
        coalesce(newest_load.ingested_at = events.ingested_at, false) as is_newest
    from events
    cross join newest_load
    where
        events.reject_reason is not null
        and events.reject_reason not in ({{ set_aside_reasons() }})

),

-- counted apart: engines know the number of all rows without reading them
counts as (

    select
        'of all event rows' as part,
        (select count(*) from refused) as refused_rows,
        (select count(*) from events) as all_rows
    union all
    select
        'of the newest load' as part,
        (select count(case when is_newest then 1 end) from refused) as refused_rows,
        count(*) as all_rows
    from events
    inner join newest_load on events.ingested_at = newest_load.ingested_at

),

failed as (

    select
        part,
        {{ divide('refused_rows', 'all_rows') }} as share
    from counts
    where coalesce({{ divide('refused_rows', 'all_rows') }}, 1) > {{ limit }}

),

-- only where the share is too large: the rows that show why
samples as (

    select
        failed.part,
        events.reject_reason,
        case
            when events.reject_reason = 'missing_user_id' then events.user_id
            when events.reject_reason = 'unreadable_event_time' then events.event_time_unread
            when events.reject_reason like 'event_time%' then cast(events.event_time as string)
            when events.reject_reason = 'unknown_event_type' then events.event_type
            else events.event_id
        end as example
    from failed
    inner join refused on failed.part = 'of all event rows' or refused.is_newest
    inner join events on refused.row_id = events.row_id

),

reasons as (

    select
        part,
        reject_reason,
        count(*) as refused_rows,
        min(example) as example,
        row_number() over (partition by part order by count(*) desc, reject_reason) as reason_rank
    from samples
    group by part, reject_reason

),

named as (

    select
        part,
        string_agg(concat(reject_reason, ' ', refused_rows, ' (', coalesce(example, 'empty'), ')'), ', ')
            as reasons
    from reasons
    where reason_rank <= 3
    group by part

)

select
    failed.part,
    concat(round(failed.share, 4), ': ', coalesce(named.reasons, 'no rows')) as found,
    'at most {{ limit }}' as allowed
from failed
left join named on failed.part = named.part
