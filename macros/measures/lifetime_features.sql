{#- The family `lifetime`: what a user did since signup, as far as data reaches back. A rate per day says how
    regular somebody is whom no window sees for long, and silence_share how unusual the silence is.
    observed_days says how many days of the longest window were seen at all. -#}
{% macro lifetime_features(longest) %}
    {% set days_of_tenure = '(' ~ day_number('silences.as_of_date') ~ ' - ' ~ day_number('silences.signup_date') ~ ' + 1)' %}
    {{ return([
        {'name': 'active_days_ever', 'sql': 'cast(silences.active_days_total as integer)'},
        {'name': 'events_ever', 'sql': 'cast(silences.events_total as integer)'},
        {'name': 'active_day_rate', 'sql': divide('silences.active_days_total', 'silences.observed_days')},
        {'name': 'silence_share', 'sql': divide('silences.days_since_last_activity', days_of_tenure)},
        {
            'name': 'observed_days_' ~ longest ~ 'd',
            'sql': 'cast(least(silences.observed_days, ' ~ longest ~ ') as integer)',
        },
    ]) }}
{% endmacro %}

{#- The features that grow with every day of a young warehouse, which is no drift. -#}
{% macro growing_features(longest) %}
    {{ return(['active_days_ever', 'events_ever', 'observed_days_' ~ longest ~ 'd']) }}
{% endmacro %}
