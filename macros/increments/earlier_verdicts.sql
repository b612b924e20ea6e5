{#- The table int_events_validated of earlier builds; none in a first build and in a full refresh. Not a
    ref(), since int_events_validated comes after the model that calls this. -#}
{% macro earlier_verdicts() %}
    {% set verdicts = none %}
    {% if execute and not flags.FULL_REFRESH %}
        {% set verdicts = adapter.get_relation(target.database, target.schema, 'int_events_validated') %}
    {% endif %}
    {{ return(verdicts) }}
{% endmacro %}
