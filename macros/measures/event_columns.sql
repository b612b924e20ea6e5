{#- The numeric event columns that a domain measures or checks, each once: `name` and `received`, the
    column as it was received, both quoted; `plain`, the bare name; `type`. -#}
{% macro event_columns(settings) %}
    {% set scales = {} %}
    {% for measure in settings.measures if measure.get('column') %}
        {% set scale = [scales.get(measure.column, 0), measure.get('scale', 4)] | max %}
        {% do scales.update({measure.column: scale}) %}
    {% endfor %}
    {% for column in settings.checks if column not in settings.attributes and column not in scales %}
        {% do scales.update({column: 4}) %}
    {% endfor %}
    {% set columns = [] %}
    {% for column, scale in scales.items() %}
        {% do columns.append({
            'plain': column,
            'name': adapter.quote(column),
            'received': adapter.quote(column ~ '_received'),
            'type': exact_decimal(scale),
        }) %}
    {% endfor %}
    {{ return(columns) }}
{% endmacro %}
