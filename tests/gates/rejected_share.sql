{#- The share of rejected rows is at most max_rejected_share, in the newest load and in all loads. -#}
{% set limit = domain_settings().max_rejected_share %}
with

events as {{ in_place() }} (select * from {{ ref('int_events_validated') }}),

newest as (select max(ingested_at) as ingested_at from events),

-- counted apart: engines know the number of all rows without reading them
refused as (

    select events.ingested_at
    from events
    where reject_reason is not null

),

counts as (

    select
        'of all event rows' as part,
        (select count(*) from refused) as refused_rows,
        (select count(*) from events) as all_rows
    union all
    select
        'of the newest load' as part,
        count(case when events.reject_reason is not null then 1 end) as refused_rows,
        count(*) as all_rows
    from events
    inner join newest on events.ingested_at = newest.ingested_at

),

shares as (

    select
        part,
        {{ divide('refused_rows', 'all_rows') }} as share
    from counts

)

select
    part,
    round(share, 4) as found,
    'at most {{ limit }}' as allowed
from shares
where coalesce(share, 1) > {{ limit }}
