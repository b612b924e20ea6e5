{% set rise = 1.5 %}

with

predictions as (select * from {{ ref('churn_predictions') }}),

dates as (

    select distinct as_of_date
    from predictions
    order by as_of_date desc
    limit 60

),

-- the newest date, and the newest one that is a week older
compared as (

    select
        newest.as_of_date,
        max(earlier.as_of_date) as compared_with
    from (select max(as_of_date) as as_of_date from dates) as newest
    left join dates as earlier on earlier.as_of_date <= {{ add_days('newest.as_of_date', -7) }}
    group by newest.as_of_date

),

states as (

    select
        predictions.user_id,
        predictions.as_of_date,
        predictions.churn_risk,
        predictions.risk_band,
        case predictions.risk_band
            when 'gone' then 'gone' when 'high' then 'at_risk' else 'calm'
        end as state
    from predictions
    inner join dates on predictions.as_of_date = dates.as_of_date

),

now_and_then as (

    select
        states.*,
        compared.compared_with,
        earlier.churn_risk as churn_risk_before,
        earlier.risk_band as risk_band_before,
        earlier.state as state_before,
        coalesce(
            states.risk_band = 'medium' and earlier.state = 'calm'
            and states.churn_risk >= {{ rise }} * earlier.churn_risk, false
        ) as has_risen
    from states
    inner join compared on states.as_of_date = compared.as_of_date
    left join states as earlier
        on states.user_id = earlier.user_id and compared.compared_with = earlier.as_of_date

),

moves as (

    select
        *,
        case
            when state = 'gone' and coalesce(state_before, 'gone') <> 'gone' then 'lost'
            when state = 'at_risk' and state_before = 'at_risk' then 'still_at_risk'
            when state <> 'gone' and state_before = 'gone' then 'came_back'
            when state = 'at_risk' or has_risen then 'newly_at_risk'
            when state = 'calm' and state_before = 'at_risk' then 'came_back'
        end as move
    from now_and_then

),

-- the last date on which a user was in another state than now
changes as (

    select
        states.user_id,
        max(states.as_of_date) as last_other
    from states
    inner join moves on states.user_id = moves.user_id and states.state <> moves.state
    group by states.user_id

),

spells as (

    select
        states.user_id,
        min(states.as_of_date) as since
    from states
    left join changes on states.user_id = changes.user_id
    where states.as_of_date > coalesce(changes.last_other, date '1970-01-01')
    group by states.user_id

)

select
    moves.user_id,
    moves.as_of_date,
    moves.compared_with,
    moves.move,
    case when moves.has_risen then moves.as_of_date else spells.since end as since,
    moves.churn_risk,
    moves.churn_risk_before,
    moves.risk_band,
    moves.risk_band_before
from moves
inner join spells on moves.user_id = spells.user_id
where moves.move is not null
