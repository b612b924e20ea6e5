{#- A model's own schema as it is named: tables that the jobs also write are in ml. dbt would name it main_ml. -#}
{% macro generate_schema_name(custom_schema_name, node) %}{{ return(custom_schema_name or target.schema) }}{% endmacro %}
