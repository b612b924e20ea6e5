{#- True if a date is one of a list, which may be empty. -#}
{% macro one_of(day, dates) -%}
    {% if dates -%}
        {{ day }} in ({% for date in dates %}date '{{ date }}'{{ ', ' if not loop.last }}{% endfor %})
    {%- else -%}
        false
    {%- endif %}
{%- endmacro %}
