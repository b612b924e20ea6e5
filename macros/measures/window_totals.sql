{#- The totals that features use: each additive column and the active days, over each window of n
    days. -#}
{% macro window_totals(settings) %}
    {% set names = additive_columns(settings.measures) | map(attribute='name') | list + ['active_days'] %}
    {% set totals = [] %}
    {% for name in names %}
        {% for n in settings.feature_windows_days %}
            {% do totals.append({'name': name, 'n': n}) %}
        {% endfor %}
    {% endfor %}
    {{ return(totals) }}
{% endmacro %}
