{{ config(materialized='day_table', day='as_of_date', sampled=true) }}

with

features as (select * from {{ ref('user_features_daily') }}),

users as (select * from {{ ref('user_windows') }})

select features.*
from features
inner join users
    on features.user_id = users.user_id and features.as_of_date >= users.rewrite_from
where
    -- on Spark the block has all days
    features.as_of_date between {{ block_start() }} and {{ block_end() }}
    and {{ is_sampled('features.as_of_date') }}
