with

build_window as (select * from {{ ref('build_window') }})

select {{ day_series('data_from', 'data_through') }} as day
from build_window
