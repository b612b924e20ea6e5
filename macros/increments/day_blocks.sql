{#- The days to write as blocks of at most ten: pairs of dates (first, last). Ten days of a million users
    fit into memory. A table of sampled days gets a block for each, see is_sampled. -#}
{% macro day_blocks(first_day, last_day) %}
    {% set step, length = 10, 10 %}
    {% if first_day and config.get('sampled') %}
        {% set step, length = domain_settings().training_every_days, 1 %}
        {% set since_sunday = (first_day - modules.datetime.date(1969, 12, 28)).days %}
        {% set first_day = first_day + modules.datetime.timedelta(days=-since_sunday % step) %}
    {% endif %}
    {% set blocks = [] %}
    {% if first_day %}
        {% for offset in range(0, (last_day - first_day).days + 1, step) %}
            {% set start = first_day + modules.datetime.timedelta(days=offset) %}
            {% set end = start + modules.datetime.timedelta(days=length - 1) %}
            {% do blocks.append((start, [end, last_day] | min)) %}
        {% endfor %}
    {% endif %}
    {{ return(blocks) }}
{% endmacro %}
