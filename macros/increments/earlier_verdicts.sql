{#- The table of verdicts as earlier builds left it; none before the first and in a full refresh. Not a ref():
    int_events_validated comes after the model that asks. -#}
{% macro earlier_verdicts() %}
    {% set verdicts = none %}
    {% if execute and not flags.FULL_REFRESH %}
        {% set verdicts = adapter.get_relation(target.database, target.schema, 'int_events_validated') %}
    {% endif %}
    {{ return(verdicts) }}
{% endmacro %}
