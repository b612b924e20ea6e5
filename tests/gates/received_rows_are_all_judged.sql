{#- Every row of every file is accepted or rejected; none is lost. -#}
with

files as (select * from {{ source('raw', 'files') }}),

judged as (

    select
        'events' as table_name,
        count(*) as judged_rows
    from {{ ref('int_events_validated') }}
    union all
    select
        'users' as table_name,
        count(*) as judged_rows
    from {{ ref('int_users_validated') }}

),

received as (

    select
        table_name,
        sum(row_count) as received_rows
    from files
    group by table_name

)

select
    received.table_name,
    coalesce(judged.judged_rows, 0) as found,
    received.received_rows as allowed
from received
inner join judged on received.table_name = judged.table_name
where judged.judged_rows <> received.received_rows
