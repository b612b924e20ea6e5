{#- The tables of what was scored, every day of it. dbt runs no Python models on Spark: there a job writes them. -#}
{% macro prediction_history() %}
    {{ return(source('ml', 'churn_predictions') if target.type == 'spark' else ref('prediction_history')) }}
{% endmacro %}

{% macro scored_features() %}
    {{ return(source('ml', 'scored_features') if target.type == 'spark' else ref('scored_features')) }}
{% endmacro %}
