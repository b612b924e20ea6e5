{% set settings = domain_settings() %}
{% set list = settings.list %}
{% set by_rates = 'users.expected_loss * save_rates.save_rate' %}
{% set kept = 'coalesce(effects.effect * users.user_value, ' ~ by_rates ~ ')' %}

with

predictions as (select * from {{ ref('churn_predictions_latest') }}),

features as (select * from {{ ref('user_features_latest') }}),

contacts as (select * from {{ ref('contact_states') }}),

moves as (select * from {{ ref('churn_moves') }}),

save_rates as (select * from {{ ref('save_rates') }}),

effects as (select * from {{ effect_scores() }}),

wanted as (

    select user_id
    from features
    {% if list.where %}where {{ list.where }}{% endif %}

),

-- a list is read on the day after as_of_date, which may be the day of the snooze
users as (

    select
        predictions.*,
        contacts.last_contact_on,
        contacts.snoozed_until,
        contacts.owner,
        moves.move as churn_move,
        moves.since as moved_since,
        case
            when not predictions.is_eligible then 'gone'
            when wanted.user_id is null then 'not_wanted'
            when
                contacts.last_contact_on
                > {{ add_days('predictions.as_of_date', -list.contact_pause_days) }}
                then 'contacted'
            when contacts.snoozed_until > {{ add_days('predictions.as_of_date', 1) }} then 'snoozed'
        end as otherwise_left_out,
        {{ silence_group('features.days_since_last_activity') }} as silence_group
    from predictions
    left join wanted on predictions.user_id = wanted.user_id
    left join contacts on predictions.user_id = contacts.user_id
    left join moves on predictions.user_id = moves.user_id
    left join features on predictions.user_id = features.user_id

)

select
    users.user_id,
    users.as_of_date,
    users.last_contact_on,
    users.snoozed_until,
    users.owner,
    users.churn_move,
    users.moved_since,
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
