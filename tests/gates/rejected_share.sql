{#- Of what came with the newest load, and of all that ever came, no more is rejected than
    max_rejected_share. -#}
{% set limit = domain_settings().max_rejected_share %}
with

events as {{ in_place() }} (select * from {{ ref('int_events_validated') }}),

newest as (select max(ingested_at) as ingested_at from events),

-- the refused alone, for engines know how many rows there are without reading them
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
