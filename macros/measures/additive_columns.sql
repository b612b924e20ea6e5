{#- The columns of user_daily that add up over days: events, then the domain's measures. Each has `name`,
    `type`, and `adds`, the SQL of what one event adds. An average is kept as a sum and a count. -#}
{% macro additive_columns(measures) %}
    {% set columns = [{'name': 'events', 'type': 'integer', 'adds': '1'}] %}
    {% for measure in measures %}
        {% set value = 'cast(' ~ measure.get('column') ~ ' as ' ~ exact_decimal() ~ ')' %}
        {% set is_there = 'case when ' ~ measure.get('column') ~ ' is not null then 1 end' %}
        {% if measure.agg == 'count' %}
            {% do columns.append(additive_column(measure, '', 'integer', '1')) %}
        {% elif measure.agg == 'sum' %}
            {% do columns.append(additive_column(measure, '', exact_decimal(), value)) %}
        {% else %}
            {% do columns.append(additive_column(measure, '_sum', exact_decimal(), value)) %}
            {% do columns.append(additive_column(measure, '_count', 'integer', is_there)) %}
        {% endif %}
    {% endfor %}
    {{ return(columns) }}
{% endmacro %}

{% macro additive_column(measure, suffix, type, value) %}
    {% set adds = value %}
    {% if measure.get('event_type') %}
        {% set adds = 'case when event_type = ' ~ text_literal(measure.event_type) ~ ' then ' ~ value ~ ' end' %}
    {% endif %}
    {{ return({'name': measure.name ~ suffix, 'type': type, 'adds': adds}) }}
{% endmacro %}
