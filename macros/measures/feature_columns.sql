{#- The features of a domain in column order: name, quoted name, description, and SQL over the window totals
    of user_features_daily. -#}
{% macro feature_columns(settings) %}
    {% set windows = settings.feature_windows_days %}
    {% set features = [] %}
    {% for n in windows %}
        {% for name in ['active_days', 'events'] %}
            {% do features.append({
                'name': name ~ '_' ~ n ~ 'd',
                'sql': 'cast(' ~ name ~ '_' ~ n ~ 'd as integer)',
                'description': (name | replace('_', ' ') | capitalize) ~ ' in the last ' ~ n ~ ' days.',
            }) %}
        {% endfor %}
    {% endfor %}
    {% for measure in settings.measures %}
        {% for n in windows %}
            {% do features.append({
                'name': measure.name ~ '_' ~ n ~ 'd',
                'sql': measure_over(measure, n),
                'description': 'The measure ' ~ measure.name ~ ' (' ~ measure.agg ~ ') in the last ' ~ n ~ ' days.',
            }) %}
        {% endfor %}
        {% set short, long = windows | first, trend_window(windows) %}
        {% do features.append({
            'name': measure.name ~ '_trend',
            'sql': measure_trend(measure, short, long),
            'description': measure.name ~ ' in the last ' ~ short ~ ' days divided by that in the last ' ~ long
                ~ ' days, as daily rates: 1 is steady, below 1 declining.',
        }) %}
    {% endfor %}
    {% for ratio in settings.ratios %}
        {% set n = windows | last %}
        {% do features.append({
            'name': ratio.name ~ '_' ~ n ~ 'd',
            'sql': ratio_over(ratio, n),
            'description': ratio.part ~ ' / (' ~ ratio.of | join(' + ') ~ ') in the last ' ~ n ~ ' days.',
        }) %}
    {% endfor %}
    {% if 'lifetime' in settings.feature_families %}{% do features.extend(lifetime_features(windows | last)) %}{% endif %}
    {% for feature in features %}{% do feature.update({'quoted': adapter.quote(feature.name)}) %}{% endfor %}
    {{ return(features) }}
{% endmacro %}
