{#- The number of this build. No number comes twice, so a full refresh, which leaves no earlier build, goes on too. -#}
{% macro next_build_number() %}
    {% set marks = adapter.get_relation(target.database, target.schema, 'build_log') %}
    {% set latest = run_query('select max(build_number) from ' ~ marks).rows[0][0] if execute and marks %}
    {{ return((latest or 0) + 1) }}
{% endmacro %}
