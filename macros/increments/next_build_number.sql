{#- The number of this build. Numbers continue over a full refresh, so none is used twice. -#}
{% macro next_build_number() %}
    {% set marks = adapter.get_relation(target.database, target.schema, 'build_log') %}
    {% set latest = run_query('select max(build_number) from ' ~ marks).rows[0][0] if execute and marks %}
    {{ return((latest or 0) + 1) }}
{% endmacro %}
