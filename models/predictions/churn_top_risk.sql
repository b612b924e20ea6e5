with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

candidates as (select * from {{ ref('contact_candidates') }}),

places as (select * from {{ ref('list_places') }})

select
    predictions.*,
    candidates.last_contact_on,
    candidates.churn_move,
    candidates.moved_since,
    candidates.owner,
    candidates.save_rate,
    candidates.expected_gain,
    candidates.expected_gain_low,
    candidates.expected_gain_high,
    places.is_explored,
    places.list_probability,
    cast(row_number() over (order by places.place) as bigint) as list_rank
from predictions
inner join candidates on predictions.user_id = candidates.user_id
inner join places on predictions.user_id = places.user_id
where places.is_listed
order by list_rank
