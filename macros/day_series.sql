{#- A select list entry that gives one row per day between two dates, both included. -#}
{% macro day_series(first_day, last_day) -%}
    cast(unnest(generate_series({{ first_day }}, {{ last_day }}, interval 1 day)) as date)
{%- endmacro %}
