{% set settings = domain_settings() %}
{% set list = settings.list %}
{% set by_rates = 'users.expected_loss * save_rates.save_rate' %}
{% set kept = 'coalesce(effects.effect * users.user_value, ' ~ by_rates ~ ')' %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

features as (select * from {{ ref('user_features_latest') }}),

days as (select * from {{ ref('user_daily') }}),

contacts as (select * from {{ ref('contacts') }}),

save_rates as (select * from {{ ref('save_rates') }}),

effects as (select * from {{ effect_scores() }}),

wanted as (

    select user_id
    from features
    {% if list.where %}where {{ list.where }}{% endif %}

),

called as (

    select
        user_id,
        max(treated_on) as last_contact_on
    from contacts
    where action = 'contacted'
    group by user_id

),

snoozed as (

    select
        user_id,
        max_by(snoozed_until, treated_at) as snoozed_until
    from contacts
    where action = 'snoozed'
    group by user_id

),

-- a list is read on the day after as_of_date, which may be the day of the snooze
users as (

    select
        predictions.*,
        called.last_contact_on,
        snoozed.snoozed_until,
        case
            when not predictions.is_eligible then 'gone'
            when wanted.user_id is null then 'not_wanted'
            when
                called.last_contact_on
                > {{ add_days('predictions.as_of_date', -list.contact_pause_days) }}
                then 'contacted'
            when snoozed.snoozed_until > {{ add_days('predictions.as_of_date', 1) }} then 'snoozed'
        end as otherwise_left_out,
        {{ silence_group(day_number('days.day') ~ ' - ' ~ day_number('days.last_active_on')) }}
            as silence_group
    from predictions
    left join wanted on predictions.user_id = wanted.user_id
    left join called on predictions.user_id = called.user_id
    left join snoozed on predictions.user_id = snoozed.user_id
    left join days
        on predictions.user_id = days.user_id and predictions.as_of_date = days.day

)

select
    users.user_id,
    users.as_of_date,
    users.last_contact_on,
    users.snoozed_until,
    case when users.in_holdout then 'holdout' else users.otherwise_left_out end as left_out_because,
    users.otherwise_left_out is null as is_candidate,
    save_rates.save_rate,
    {{ kept }} - {{ settings.offer_cost }} as expected_gain,
    {{ kept }} + users.expected_loss * (save_rates.save_rate_low - save_rates.save_rate)
    - {{ settings.offer_cost }} as expected_gain_low,
    {{ kept }} + users.expected_loss * (save_rates.save_rate_high - save_rates.save_rate)
    - {{ settings.offer_cost }} as expected_gain_high
from users
inner join save_rates
    on users.risk_band = save_rates.risk_band and users.silence_group = save_rates.silence_group
left join effects on users.user_id = effects.user_id
