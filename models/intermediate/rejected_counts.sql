with

rejected as (select * from {{ ref('int_rejected_rows') }})

select
    table_name,
    reject_reason,
    cast(count(*) as bigint) as row_count
from rejected
group by table_name, reject_reason
