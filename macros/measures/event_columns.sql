{#- The numeric event columns that a domain measures or checks, each once. -#}
{% macro event_columns(settings) %}
    {% set columns = [] %}
    {% for measure in settings.measures if measure.get('column') %}
        {% do columns.append(measure.column) if measure.column not in columns %}
    {% endfor %}
    {% for column in settings.checks if column not in settings.attributes %}
        {% do columns.append(column) if column not in columns %}
    {% endfor %}
    {{ return(columns) }}
{% endmacro %}
