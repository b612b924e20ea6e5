{#- The family `lifetime`: what a user did since signup, as far as data reaches back. A rate per day says how
    regular somebody is whom no window sees for long, and silence_share how unusual the silence is.
    observed_days says how many days of the longest window were seen at all. -#}
{% macro lifetime_features(longest) %}
    {% set days_of_tenure = '(' ~ day_number('silences.as_of_date') ~ ' - ' ~ day_number('silences.signup_date') ~ ' + 1)' %}
    {{ return([
        {
            'name': 'active_days_ever',
            'sql': 'cast(silences.active_days_total as integer)',
            'description': 'Active days since signup, as far as data reach back.',
        },
        {
            'name': 'events_ever',
            'sql': 'cast(silences.events_total as integer)',
            'description': 'Events since signup, as far as data reach back.',
        },
        {
            'name': 'active_day_rate',
            'sql': divide('silences.active_days_total', 'silences.observed_days'),
            'description': 'active_days_ever as a share of the known days since signup.',
        },
        {
            'name': 'silence_share',
            'sql': divide('silences.days_since_last_activity', days_of_tenure),
            'description': 'days_since_last_activity as a share of the days since signup.',
        },
        {
            'name': 'observed_days_' ~ longest ~ 'd',
            'sql': 'cast(least(silences.observed_days, ' ~ longest ~ ') as integer)',
            'description': 'Known days of the last ' ~ longest ~ ' days.',
        },
    ]) }}
{% endmacro %}

{#- The features whose mean moves as the history grows, whatever users do: they count from the first day. -#}
{% macro clock_like_features(longest) %}
    {{ return([
        'tenure_days', 'active_days_ever', 'events_ever', 'silence_share', 'observed_days_' ~ longest ~ 'd',
    ]) }}
{% endmacro %}
