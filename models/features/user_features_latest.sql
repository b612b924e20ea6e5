with

features as (select * from {{ ref('user_features_daily') }})

select *
from features
where as_of_date = {{ window_day(ref('build_window'), 'data_through') }}
