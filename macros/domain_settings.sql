{#- All settings of the domain that filled this warehouse, as `churnhouse ingest` wrote them down;
    a unit test gives those it needs as the var `domain`. Reading them here, and not from --vars,
    keeps dbt's partial parsing alive and makes a plain `dbt build` right for every domain. -#}
{% macro domain_settings() %}
    {% if execute and not var('domain', none) %}
        {{ return(fromjson(run_query('select settings from ' ~ source('raw', 'domain')).rows[0][0])) }}
    {% endif %}
    {% set settings = {} %}
    {% for name in [
        'churn_horizon_days', 'eligibility_days', 'feature_windows_days', 'training_every_days',
        'users_from_events', 'arrival_tolerance_minutes', 'max_rejected_share',
        'expected_weekdays', 'min_day_share', 'holdout_share', 'measures', 'ratios', 'attributes',
        'checks', 'event_types'
    ] %}
        {% do settings.update({name: var(name)}) %}
    {% endfor %}
    {% do settings.update(var('domain', {})) %}
    {{ return(settings) }}
{% endmacro %}
