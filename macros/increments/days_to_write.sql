{#- The days that this build writes in a day table: `first_day` to `last_day`; earlier by days_ahead.
    `is_whole`: it writes all days; `is_for_all`: and all users. `outside`: a condition for days that the
    data does not cover. -#}
{% macro days_to_write(day) %}
    {% set rows = run_query('select data_from, data_through, rewrite_from, new_from from ' ~ build_window()).rows %}
    {% set data_from, data_through, rewrite_from = rows[0][0], rows[0][1], rows[0][2] %}
    {% if data_from is none %}
        {{ return({'first_day': none, 'last_day': none, 'is_whole': true, 'is_for_all': true, 'outside': 'true'}) }}
    {% endif %}
    {% set ahead = modules.datetime.timedelta(days=days_ahead()) %}
    {% set last_day = data_through - ahead %}
    {{ return({
        'first_day': [data_from, rewrite_from - ahead] | max,
        'last_day': last_day,
        'is_whole': rewrite_from <= data_from,
        'is_for_all': rows[0][3] <= data_from,
        'outside': day ~ " < date '" ~ data_from ~ "' or " ~ day ~ " > date '" ~ last_day ~ "'",
    }) }}
{% endmacro %}
