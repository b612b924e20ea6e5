{#- One column of the latest finished build, as a scalar subquery, or none before the first and in
    a full refresh. Not a ref(): build_marks comes last in the very build that asks. -#}
{% macro last_build(column) %}
    {% set marks = adapter.get_relation(target.database, target.schema, 'build_marks') %}
    {% if execute and marks and not flags.FULL_REFRESH %}
        {{ return('(select max_by(' ~ column ~ ', build_number) from ' ~ marks ~ ')') }}
    {% endif %}
    {{ return('cast(null as ' ~ ('date' if column == 'data_through' else 'timestamp') ~ ')') }}
{% endmacro %}
