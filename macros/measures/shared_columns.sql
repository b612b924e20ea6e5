{#- The columns that two relations share, without keys, in the order of the first: name and
    is_number. -#}
{% macro shared_columns(one, other) %}
    {% set numbers = ['int', 'double', 'float', 'decimal'] %}
    {% set names = [] %}
    {% if execute %}
        {% set others = adapter.get_columns_in_relation(other) | map(attribute='name') | list %}
        {% for column in adapter.get_columns_in_relation(one) %}
            {% if column.name in others and column.name not in ('user_id', 'as_of_date', 'model_version') %}
                {% set is_number = column.is_number() or column.dtype.split('(')[0] in numbers %}
                {% do names.append({'name': column.name, 'is_number': is_number}) %}
            {% endif %}
        {% endfor %}
    {% endif %}
    {{ return(names) }}
{% endmacro %}
