{% set top_k = domain_settings().top_k %}

with

outcomes as (

    select *
    from {{ ref('prediction_outcomes') }}
    where is_eligible

),

curves as (select * from {{ ref('performance_curves') }}),

ranked as (

    select
        *,
        row_number() over by_risk as place,
        ntile(10) over by_risk as tenth
    from outcomes
    window by_risk as (partition by as_of_date, model_version order by risk_rank)

),

plain as (

    select
        as_of_date,
        model_version,
        min(is_mature) as is_mature,
        count(*) as users,
        avg(churn_label) as base_rate,
        avg(churn_risk) as expected_base_rate,
        avg(case when place <= 50 then churn_risk end) as expected_precision_at_50,
        avg(case when place <= 50 then churn_label end) as precision_at_50,
        avg(case when place <= {{ top_k }} then churn_risk end) as expected_precision_at_top_k,
        avg(case when place <= {{ top_k }} then churn_label end) as precision_at_top_k,
        avg(case when tenth = 1 then churn_label end) as precision_top_decile,
        avg(power(churn_risk - churn_label, 2)) as brier
    from ranked
    group by as_of_date, model_version

),

tenths as (

    select
        as_of_date,
        model_version,
        count(*) as users,
        abs(avg(churn_risk) - avg(churn_label)) as gap
    from ranked
    group by as_of_date, model_version, tenth

),

calibration as (

    select
        as_of_date,
        model_version,
        sum(users * gap) / sum(users) as expected_calibration_error
    from tenths
    group by as_of_date, model_version

)

select
    plain.as_of_date,
    plain.model_version,
    plain.is_mature,
    cast(plain.users as bigint) as users,
    plain.base_rate,
    plain.expected_base_rate,
    cast(curves.roc_auc as double) as roc_auc,
    cast(case when plain.base_rate > 0 then curves.average_precision end as double) as average_precision,
    plain.precision_at_50,
    plain.expected_precision_at_50,
    plain.precision_at_top_k,
    plain.expected_precision_at_top_k,
    {{ divide('plain.precision_top_decile', 'plain.base_rate') }} as lift_top_decile,
    plain.brier,
    cast(calibration.expected_calibration_error as double) as expected_calibration_error
from plain
inner join calibration
    on plain.as_of_date = calibration.as_of_date and plain.model_version = calibration.model_version
left join curves
    on plain.as_of_date = curves.as_of_date and plain.model_version = curves.model_version
