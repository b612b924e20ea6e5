{#- Entries of a select list: the template once per item, its {fields} filled in, separated by commas. -#}
{% macro select_list(items, template) -%}
    {%- for item in items -%}
        {{ template.format(**item) }}{{ ',' if not loop.last }}
        {% endfor -%}
{%- endmacro %}
