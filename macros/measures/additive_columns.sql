{#- The columns of user_daily that add up over days: events, then the domain's measures. Each has `name`,
    `quoted`, `type`, `description`, and `adds`, the SQL of what one event adds. An average is kept as a sum
    and a count. -#}
{% macro additive_columns(measures) %}
    {% set columns = [{
        'name': 'events', 'quoted': 'events', 'type': 'integer', 'adds': '1', 'description': 'Accepted events'
    }] %}
    {% for measure in measures %}
        {% set type = exact_decimal(measure.get('scale', 4)) %}
        {% set column = adapter.quote(measure.get('column') or '') %}
        {% set value = 'cast(' ~ column ~ ' as ' ~ type ~ ')' %}
        {% set is_there = 'case when ' ~ column ~ ' is not null then 1 end' %}
        {% if measure.agg == 'count' %}
            {% do columns.append(additive_column(measure, '', 'integer', '1')) %}
        {% elif measure.agg == 'sum' %}
            {% do columns.append(additive_column(measure, '', type, value)) %}
        {% else %}
            {% do columns.append(additive_column(measure, '_sum', type, value)) %}
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
    {% set name = measure.name ~ suffix %}
    {% set what = 'Number' if type == 'integer' else 'Sum' %}
    {% set of = measure.column ~ ' of events' if measure.get('column') else 'events' %}
    {% set of_type = ' of type ' ~ measure.event_type if measure.get('event_type') else '' %}
    {{ return({
        'name': name,
        'quoted': adapter.quote(name),
        'type': type,
        'adds': adds,
        'description': what ~ ' of ' ~ of ~ of_type,
    }) }}
{% endmacro %}
