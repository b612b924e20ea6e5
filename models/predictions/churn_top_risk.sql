{% set settings = domain_settings() %}
{% set list = settings.list %}
{% set size = (list.budget / settings.offer_cost) | round(6) | int if list.budget else settings.top_k %}
{% set first = {
    'risk': '',
    'loss': 'predictions.expected_loss desc,',
    'gain': 'candidates.expected_gain desc,',
} %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

candidates as (select * from {{ ref('contact_candidates') }}),

listed as (

    select
        predictions.*,
        candidates.last_contact_on,
        candidates.save_rate,
        candidates.expected_gain,
        candidates.expected_gain_low,
        candidates.expected_gain_high,
        cast(
            row_number() over (order by {{ first.get(list.order) }} predictions.risk_rank) as bigint
        ) as list_rank
    from predictions
    inner join candidates on predictions.user_id = candidates.user_id
    where
        candidates.left_out_because is null
        {% if list.order == 'gain' %}and candidates.expected_gain > 0{% endif %}

)

select *
from listed
where list_rank <= {{ size }}
order by list_rank
