{#- Entries of a select list: the template once for each item, with its {fields} filled in. -#}
{% macro select_list(items, template) -%}
    {%- for item in items -%}
        {{ template.format(**item) }}{{ ',' if not loop.last }}
        {% endfor -%}
{%- endmacro %}
