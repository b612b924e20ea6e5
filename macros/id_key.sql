{#- A number for an id, by which ids are searched for among all earlier ones: a fifth of a text's cost. Two
    ids may share one. -#}
{% macro id_key(column) -%}
    {{ 'xxhash64' if target.type == 'spark' else 'hash' }}({{ column }})
{%- endmacro %}
