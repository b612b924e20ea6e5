{#- True for a text without any character but spaces. Few texts begin with one, and trim is slow. -#}
{% macro is_blank(column) -%}
    ({{ column }} is null or ({{ column }} < '!' and trim({{ column }}) = ''))
{%- endmacro %}
