{#- The days to write as blocks of at most ten: pairs of dates (first, last). Ten days of a million users
    fit into memory. -#}
{% macro day_blocks(first_day, last_day) %}
    {% set blocks = [] %}
    {% if first_day %}
        {% for offset in range(0, (last_day - first_day).days + 1, 10) %}
            {% set start = first_day + modules.datetime.timedelta(days=offset) %}
            {% set end = start + modules.datetime.timedelta(days=9) %}
            {% do blocks.append((start, [end, last_day] | min)) %}
        {% endfor %}
    {% endif %}
    {{ return(blocks) }}
{% endmacro %}
