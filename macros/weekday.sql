{#- The ISO day of the week of a date: 1 is Monday, 7 is Sunday. -#}
{% macro weekday(day) -%}
    extract({{ 'dayofweek_iso' if target.type == 'spark' else 'isodow' }} from {{ day }})
{%- endmacro %}
