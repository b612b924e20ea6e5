{{ config(
    materialized='incremental',
    schema='ml',
    unique_key='as_of_date',
    partition_by='as_of_date',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

with

places as (

    select * from {{ ref('list_places') }}
    where is_listed or in_holdout

),

predictions as (select * from {{ ref('churn_predictions_latest') }}),

todays as (

    select
        places.user_id,
        places.in_holdout,
        places.is_listed,
        places.is_explored,
        places.list_probability,
        places.risk_place,
        predictions.user_value,
        predictions.expected_loss,
        places.as_of_date
    from places
    inner join predictions on places.user_id = predictions.user_id

)

select * from todays
{% if is_incremental() -%}
-- who was contacted since is no longer on the list of that day when it is made again, but was
union all
select earlier.*
from {{ this }} as earlier
where
    earlier.as_of_date in (select as_of_date from todays)
    and earlier.user_id not in (select user_id from todays)
{%- endif %}
