{#- The time at which this dbt run started, in UTC. -#}
{% macro started_at() %}timestamp '{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S") }}'{% endmacro %}
