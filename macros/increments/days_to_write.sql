{#- The days of a day table as dates: `data_from` to `last_day` it has, from `first_day` on this build writes it.
    A row that looks ahead is written again as soon as any day that it looks at is. `is_whole`: whether this build
    writes all of it. `outside`: a condition on its other days, which the data no longer covers. -#}
{% macro days_to_write(day) %}
    {% set rows = run_query('select data_from, data_through, rewrite_from from ' ~ build_window()).rows %}
    {% set data_from, data_through, rewrite_from = rows[0][0], rows[0][1], rows[0][2] %}
    {% if data_from is none %}
        {{ return({'first_day': none, 'last_day': none, 'is_whole': true, 'outside': 'true'}) }}
    {% endif %}
    {% set ahead = modules.datetime.timedelta(days=days_ahead()) %}
    {% set last_day = data_through - ahead %}
    {{ return({
        'first_day': [data_from, rewrite_from - ahead] | max,
        'last_day': last_day,
        'is_whole': rewrite_from <= data_from,
        'outside': day ~ " < date '" ~ data_from ~ "' or " ~ day ~ " > date '" ~ last_day ~ "'",
    }) }}
{% endmacro %}
