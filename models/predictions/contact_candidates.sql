{% set settings = domain_settings() %}
{% set pause = settings.list.contact_pause_days %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

features as (select * from {{ ref('user_features_latest') }}),

contacts as (select * from {{ ref('contacts') }}),

save_rates as (select * from {{ ref('save_rates') }}),

worked_on as (

    select
        user_id,
        max(case when action = 'contacted' then treated_on end) as last_contact_on,
        max(case when action = 'snoozed' then snoozed_until end) as snoozed_until
    from contacts
    group by user_id

),

users as (

    select
        predictions.*,
        predictions.churn_risk * predictions.user_value as loss,
        worked_on.last_contact_on,
        worked_on.snoozed_until,
        {{ silence_group('features.days_since_last_activity') }} as silence_group
    from predictions
    inner join features on predictions.user_id = features.user_id
    left join worked_on on predictions.user_id = worked_on.user_id

)

select
    users.user_id,
    users.as_of_date,
    users.last_contact_on,
    users.snoozed_until,
    case
        when users.in_holdout then 'holdout'
        when not users.is_eligible then 'gone'
        when users.last_contact_on > {{ add_days('users.as_of_date', -pause) }} then 'contacted'
        when users.snoozed_until > users.as_of_date then 'snoozed'
    end as left_out_because,
    save_rates.save_rate,
    users.loss * save_rates.save_rate - {{ settings.offer_cost }} as expected_gain,
    users.loss * save_rates.save_rate_low - {{ settings.offer_cost }} as expected_gain_low,
    users.loss * save_rates.save_rate_high - {{ settings.offer_cost }} as expected_gain_high
from users
inner join save_rates
    on users.risk_band = save_rates.risk_band and users.silence_group = save_rates.silence_group
