{#- A cast that gives NULL where the value does not fit the type. -#}
{% macro try_cast(value, type) -%}
    try_cast({{ value }} as {{ type }})
{%- endmacro %}
