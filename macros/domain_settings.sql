{#- The settings that `churnhouse ingest` recorded; --vars would end dbt's partial parsing. A unit test
    gives those it needs as the var `domain`. -#}
{% macro domain_settings() %}
    {% if execute and not var('domain', none) %}
        {{ return(fromjson(run_query('select settings from ' ~ source('raw', 'domain')).rows[0][0])) }}
    {% endif %}
    {% set settings = {} %}
    {% for name in [
        'churn_horizon_days', 'eligibility_days', 'feature_windows_days', 'feature_families',
        'training_every_days',
        'users_from_events', 'timezone', 'first_day', 'max_history_days', 'unknown_days', 'silent_days',
        'exclude', 'arrival_tolerance_minutes', 'max_rejected_share', 'expected_weekdays',
        'min_day_share', 'holdout_share', 'offer_cost', 'save_rate', 'user_value', 'value', 'top_k', 'list',
        'measures', 'ratios', 'attributes', 'checks', 'event_types'
    ] %}
        {% do settings.update({name: var(name)}) %}
    {% endfor %}
    {% do settings.update(var('domain', {})) %}
    {{ return(settings) }}
{% endmacro %}
