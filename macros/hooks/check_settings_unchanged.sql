{#- Ask for a full refresh if settings changed: an increment would mix old and new rules. -#}
{% macro check_settings_unchanged() %}
    {% if execute and not flags.FULL_REFRESH %}
        {% set marks = adapter.get_relation(target.database, target.schema, 'build_log') %}
        {% if marks %}
            {% set changed %}
                select 1
                from {{ marks }}
                where settings <> (select settings from {{ source('raw', 'domain') }})
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
