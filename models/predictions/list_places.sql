{% set settings = domain_settings() %}
{% set list = settings.list %}
{% set size = (list.budget / settings.offer_cost) | round(6) | int if list.budget else settings.top_k %}
{% set explored = (size * (list.explore_share or 0)) | round | int %}
{% set first = {
    'risk': '',
    'loss': 'predictions.expected_loss desc,',
    'gain': 'candidates.expected_gain desc,',
} %}
{% set worthwhile = 'candidates.expected_gain > 0' if list.order == 'gain' else 'true' %}
{% set chance = explored ~ ' / cast(greatest(below, 1) as double)' %}
{% set above = 'rows between unbounded preceding and 1 preceding' %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

candidates as (select * from {{ ref('contact_candidates') }}),

-- a user of the holdout takes no place: those after them stand where they would without them
ordered as (

    select
        predictions.user_id,
        predictions.as_of_date,
        predictions.in_holdout,
        {{ worthwhile }} as is_worthwhile,
        md5(
            concat('explore:', predictions.user_id, ':', cast(predictions.as_of_date as string))
        ) as draw,
        1 + count(case when not predictions.in_holdout then 1 end) over (
            order by {{ first.get(list.order) }} predictions.risk_rank {{ above }}
        ) as place,
        1 + count(case when not predictions.in_holdout then 1 end) over (
            order by predictions.risk_rank {{ above }}
        ) as risk_place
    from predictions
    inner join candidates on predictions.user_id = candidates.user_id
    where candidates.is_candidate

),

placed as (

    select
        *,
        is_worthwhile and place <= {{ size - explored }} as is_top
    from ordered

),

drawn as (

    select
        *,
        row_number() over (partition by is_top, in_holdout order by draw, user_id) as draw_place,
        count(case when not is_top and not in_holdout then 1 end) over () as below
    from placed

)

select
    user_id,
    as_of_date,
    in_holdout,
    cast(place as bigint) as place,
    cast(risk_place as bigint) as risk_place,
    not in_holdout and (is_top or draw_place <= {{ explored }}) as is_listed,
    not in_holdout and not is_top and draw_place <= {{ explored }} as is_explored,
    cast(case when is_top then 1 else least(1, {{ chance }}) end as double) as list_probability
from drawn
