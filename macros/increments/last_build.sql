{#- One column of the last finished build, as a literal, by which engines skip rows; NULL in a first
    build and in a full refresh. Not a ref(), since build_log comes after the models that call this. -#}
{% macro last_build(column) %}
    {% set type = {'data_through': 'date', 'unknown_days': 'string'}.get(column, 'timestamp') %}
    {% set marks = adapter.get_relation(target.database, target.schema, 'build_log') %}
    {% set value = none %}
    {% if execute and marks and not flags.FULL_REFRESH %}
        {% set latest = 'select cast(max_by(' ~ column ~ ', build_number) as string) from ' ~ marks %}
        {% set value = run_query(latest).rows[0][0] %}
    {% endif %}
    {{ return("cast('" ~ value ~ "' as " ~ type ~ ')' if value is not none else 'cast(null as ' ~ type ~ ')') }}
{% endmacro %}
