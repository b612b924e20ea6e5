{#- The domain's attributes as quoted column names. -#}
{% macro attribute_columns(settings) %}
    {% set columns = [] %}
    {% for attribute in settings.attributes %}{% do columns.append(adapter.quote(attribute)) %}{% endfor %}
    {{ return(columns) }}
{% endmacro %}
