{#- Of what came with the newest load, and of all that ever came, no more is rejected than
    max_rejected_share. -#}
{% set limit = domain_settings().max_rejected_share %}
with

events as {{ in_place() }} (select * from {{ ref('stg_events_checked') }}),

newest as {{ in_place() }} (

    select * from events
    where ingested_at = (select max(ingested_at) from events)

),

-- engines know how many rows there are, and find the few rejected faster than they judge all
counts as (

    select
        'of all event rows' as part,
        (select count(*) from events where reject_reason is not null) as rejected_rows,
        (select count(*) from events) as all_rows
    union all
    select
        'of the newest load' as part,
        (select count(*) from newest where reject_reason is not null) as rejected_rows,
        (select count(*) from newest) as all_rows

),

shares as (

    select
        part,
        {{ divide('rejected_rows', 'all_rows') }} as share
    from counts

)

select
    part,
    round(share, 4) as found,
    'at most {{ limit }}' as allowed
from shares
where coalesce(share, 1) > {{ limit }}
