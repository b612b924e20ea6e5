{#- The tables of what was scored, every day of it. dbt runs no Python models on Spark: there a job writes them. -#}
{% macro prediction_history() %}
    {{ return(source('ml', 'churn_predictions') if target.type == 'spark' else ref('prediction_history')) }}
{% endmacro %}

{% macro scored_features() %}
    {{ return(source('ml', 'scored_features') if target.type == 'spark' else ref('scored_features')) }}
{% endmacro %}

{#- The effect of a contact on each user. Spark has none: lists count with save rates there. -#}
{% macro effect_scores() %}
    {% set nobody = '(select cast(null as string) as user_id, cast(null as double) as effect where false)' %}
    {{ return(nobody if target.type == 'spark' else ref('effect_scores')) }}
{% endmacro %}
