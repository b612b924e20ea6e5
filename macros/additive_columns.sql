{#- The columns of user_daily that add up over days: activity first, then the domain's measures.
    Each has a name, a type, the event type it looks at (none: every event), and what it adds:
    a column's values, or 1 per event. An average is kept as a sum and a count. -#}
{% macro additive_columns(measures) %}
    {% set columns = [
        {'name': 'events', 'type': 'integer', 'event_type': none, 'adds': '1'},
    ] %}
    {% for measure in measures %}
        {% set event_type = measure.get('event_type') %}
        {% set value = 'cast(' ~ measure.get('column') ~ ' as ' ~ exact_decimal() ~ ')' %}
        {% if measure.agg == 'count' %}
            {% do columns.append({
                'name': measure.name, 'type': 'integer', 'event_type': event_type, 'adds': '1'
            }) %}
        {% else %}
            {% set name = measure.name ~ ('_sum' if measure.agg == 'avg' else '') %}
            {% do columns.append({
                'name': name, 'type': exact_decimal(), 'event_type': event_type, 'adds': value
            }) %}
        {% endif %}
        {% if measure.agg == 'avg' %}
            {% do columns.append({
                'name': measure.name ~ '_count', 'type': 'integer', 'event_type': event_type,
                'adds': 'case when ' ~ measure.column ~ ' is not null then 1 end'
            }) %}
        {% endif %}
    {% endfor %}
    {{ return(columns) }}
{% endmacro %}
