{% set most_rows = 10000 %}

with

rejected as (select * from {{ ref('int_rejected_rows') }})

select *
from rejected
order by ingested_at desc, table_name asc, row_id desc
limit {{ most_rows }}
