{#- The columns of a prediction as models/predictions/churn_predictions.yml lists them: each with its name
    and type, and whether it is stored in ml.churn_predictions or the view churn_predictions makes it. -#}
{% macro prediction_columns() %}
    {% set columns = [] %}
    {% if execute %}
        {% for column in graph.nodes['model.churnhouse.churn_predictions'].columns.values() %}
            {% set is_stored = column.config.meta.get('made_by') != 'view' %}
            {% do columns.append({'name': column.name, 'type': column.data_type, 'is_stored': is_stored}) %}
        {% endfor %}
    {% endif %}
    {{ return(columns) }}
{% endmacro %}
