{#- One column of the last finished build, as a literal, by which engines skip rows; NULL in a first
    build and in a full refresh. Not a ref(), since build_log comes after the models that call this. -#}
{% macro last_build(column) %}
    {% set type = {'data_from': 'date', 'data_through': 'date', 'unknown_days': 'string'}.get(column, 'timestamp') %}
    {% set marks = adapter.get_relation(target.database, target.schema, 'build_log') %}
    {% set value = none %}
    {% if execute and marks and not flags.FULL_REFRESH %}
        {% set rows = 'select cast(' ~ column ~ ' as string) from ' ~ marks ~ ' order by build_number desc limit 1' %}
        {% set value = run_query(rows).rows | map(attribute=0) | first | default(none) %}
    {% endif %}
    {{ return("cast('" ~ value ~ "' as " ~ type ~ ')' if value is not none else 'cast(null as ' ~ type ~ ')') }}
{% endmacro %}
