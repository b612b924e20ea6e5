{#- What a run may use of its machine. DuckDB finds the memory and the cores of the machine, or of the
    container, by itself; these settings only overrule it, for the whole process. -#}
{% macro limit_resources() %}
    {% if execute and target.type == 'duckdb' %}
        {% set limits = {
            'memory_limit': env_var('CHURNHOUSE_MEMORY_LIMIT', ''),
            'threads': env_var('CHURNHOUSE_THREADS', ''),
            'max_temp_directory_size': env_var('CHURNHOUSE_SPILL_LIMIT', ''),
        } %}
        {% for name, value in limits.items() if value %}
            {% do run_query("set " ~ name ~ " = '" ~ value ~ "'") %}
        {% endfor %}
    {% endif %}
{% endmacro %}
