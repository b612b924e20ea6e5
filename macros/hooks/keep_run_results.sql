{#- Keep what this invocation did, one row per node. publish reads it, and analysts may. -#}
{% macro keep_run_results(results) %}
    {% if execute and results %}
        {% set last = run_query('select coalesce(max(run_number), 0) from ml.dbt_run_results').rows[0][0] %}
        {% call statement('keep_run_results', auto_begin=True) %}
            insert into ml.dbt_run_results values
            {% for result in results -%}
                (
                    '{{ invocation_id }}',
                    {{ started_at() }},
                    '{{ result.node.name }}',
                    '{{ result.node.resource_type }}',
                    '{{ result.status }}',
                    {{ result.failures if result.failures is not none else 'null' }},
                    {{ result.execution_time }},
                    {{ text_literal(result.message or '') }},
                    {{ last + 1 }}
                ){{ ',' if not loop.last }}
            {% endfor %}
        {% endcall %}
        {% do commit_now() %}
    {% endif %}
{% endmacro %}
