{#- Texts as a list of SQL literals. -#}
{% macro text_list(texts) -%}
    {% for text in texts %}{{ text_literal(text) }}{{ ', ' if not loop.last }}{% endfor %}
{%- endmacro %}
