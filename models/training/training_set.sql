{{ config(materialized='view') }}

with

evaluation_set as (select * from {{ ref('evaluation_set') }})

select *
from evaluation_set
where is_eligible
