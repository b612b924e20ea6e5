{#- Ask for a full refresh if settings changed, or release 0.1 built the tables: an increment would mix old and
    new rows. -#}
{% macro check_settings_unchanged() %}
    {% if execute and not flags.FULL_REFRESH %}
        {% if adapter.get_relation(target.database, target.schema, 'build_marks') %}
            {{ exceptions.raise_compiler_error(
                'Release 0.1 built this warehouse. '
                ~ 'Next: run `dbt build --full-refresh`, or `churnhouse build`.'
            ) }}
        {% endif %}
        {% set marks = adapter.get_relation(target.database, target.schema, 'build_log') %}
        {% if marks %}
            {% set changed %}
                select 1
                from {{ marks }}
                where settings <> (select built_with from {{ source('raw', 'domain') }})
                having max(build_number) = (select max(build_number) from {{ marks }})
            {% endset %}
            {% if run_query(changed).rows | length > 0 %}
                {{ exceptions.raise_compiler_error(
                    'The domain settings changed since the last build. '
                    ~ 'Next: run `dbt build --full-refresh`, or `churnhouse build`.'
                ) }}
            {% endif %}
        {% endif %}
    {% endif %}
{% endmacro %}
