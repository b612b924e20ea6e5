{#- A setting that dbt's Spark adapter alone knows. -#}
{% macro on_spark(value) -%}
    {{ return(value if target.type == 'spark' else none) }}
{%- endmacro %}
