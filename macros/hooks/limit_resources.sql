{#- What a run may use of its machine. DuckDB finds the memory and the cores of the machine, or of the
    container, by itself; these settings override it for the whole process. Spark has settings of its own. -#}
{% macro limit_resources() %}
    {% if execute %}{% do adapter.dispatch('limit_resources', 'churnhouse')() %}{% endif %}
{% endmacro %}

{% macro duckdb__limit_resources() %}
    {% set limits = {
        'memory_limit': env_var('CHURNHOUSE_MEMORY_LIMIT', ''),
        'threads': env_var('CHURNHOUSE_THREADS', ''),
        'max_temp_directory_size': env_var('CHURNHOUSE_SPILL_LIMIT', ''),
    } %}
    {% for name, value in limits.items() if value %}
        {% do run_query("set " ~ name ~ " = '" ~ value ~ "'") %}
    {% endfor %}
{% endmacro %}

{% macro spark__limit_resources() %}{% endmacro %}
