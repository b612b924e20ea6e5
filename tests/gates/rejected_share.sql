{#- Of what came with the newest load, and of all that ever came, no more is rejected than
    max_rejected_share. -#}
{% set limit = domain_settings().max_rejected_share %}
with

events as {{ in_place() }} (select * from {{ ref('stg_events_checked') }}),

newest as (select max(ingested_at) as ingested_at from events),

shares as (

    select
        'of all event rows' as part,
        avg(case when events.reject_reason is not null then 1e0 else 0e0 end) as share
    from events
    union all
    select
        'of the newest load' as part,
        avg(case when events.reject_reason is not null then 1e0 else 0e0 end) as share
    from events
    inner join newest on events.ingested_at = newest.ingested_at

)

select
    part,
    round(share, 4) as found,
    'at most {{ limit }}' as allowed
from shares
where coalesce(share, 1) > {{ limit }}
