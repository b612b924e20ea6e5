{% set horizon = domain_settings().churn_horizon_days %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

features as (select * from {{ ref('user_features_latest') }}),

performance as (select * from {{ ref('model_performance') }}),

dates as (select distinct as_of_date from predictions),

weeks as (

    select
        dates.as_of_date,
        numbers.week
    from dates
    cross join (
        values
        {% for first_day in range(0, horizon, 7) -%}
        ({{ loop.index0 }}){{ ',' if not loop.last }}
        {% endfor %}
    ) as numbers (week)

),

-- the squared share by which the churn expected on past dates was off; open dates have no base_rate
level_errors as (

    select avg(power({{ divide('base_rate', 'expected_base_rate') }} - 1, 2)) as squared
    from performance

),

-- on the last of the days left, the silence is a whole horizon long
leavers as (

    select
        predictions.churn_risk,
        predictions.user_value,
        predictions.expected_loss,
        least(greatest({{ horizon }} - features.days_since_last_activity, 1), {{ horizon }}) as days_left
    from predictions
    inner join features on predictions.user_id = features.user_id
    where predictions.is_eligible

),

by_week as (

    select
        cast(floor((days_left - 1) / 7e0) as integer) as week,
        count(*) as users,
        sum(churn_risk) as leavers,
        sum(churn_risk * (1 - churn_risk)) as leavers_variance,
        sum(user_value) as worth,
        sum(expected_loss) as loss,
        sum(churn_risk * (1 - churn_risk) * user_value * user_value) as loss_variance
    from leavers
    group by cast(floor((days_left - 1) / 7e0) as integer)

),

-- all users of a week have the error of the level in common
errors as (

    select
        weeks.as_of_date,
        weeks.week,
        coalesce(by_week.users, 0) as users,
        coalesce(by_week.leavers, 0) as leavers,
        coalesce(by_week.worth, 0) as worth,
        coalesce(by_week.loss, 0) as loss,
        1.96 * sqrt(
            coalesce(by_week.leavers_variance, 0)
            + coalesce(level_errors.squared * by_week.leavers * by_week.leavers, 0)
        ) as leavers_error,
        1.96 * sqrt(
            coalesce(by_week.loss_variance, 0)
            + coalesce(level_errors.squared * by_week.loss * by_week.loss, 0)
        ) as loss_error,
        sqrt(level_errors.squared) as level_error
    from weeks
    cross join level_errors
    left join by_week on weeks.week = by_week.week

)

select
    as_of_date,
    {{ add_days('as_of_date', '7 * week + 1') }} as week_start,
    {{ add_days('as_of_date', 'least(7 * week + 7, ' ~ horizon ~ ')') }} as week_end,
    cast(users as bigint) as users,
    cast(leavers as double) as expected_leavers,
    cast(greatest(leavers - leavers_error, 0) as double) as expected_leavers_low,
    cast(least(leavers + leavers_error, users) as double) as expected_leavers_high,
    cast(loss as double) as expected_loss,
    cast(greatest(loss - loss_error, 0) as double) as expected_loss_low,
    cast(least(loss + loss_error, worth) as double) as expected_loss_high,
    cast(level_error as double) as level_error
from errors
order by week_start
