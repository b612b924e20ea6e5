{#- A model's schema by the name that it gives: ml, where dbt 1.11 would make it main_ml. -#}
{% macro generate_schema_name(custom_schema_name, node) %}{{ return(custom_schema_name or target.schema) }}{% endmacro %}
