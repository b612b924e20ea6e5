{#- Apply the limits that are set. Without them DuckDB finds the memory and cores of the machine or
    container by itself. Spark has its own settings. -#}
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
