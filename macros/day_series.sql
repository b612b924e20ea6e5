{#- A select list entry that gives one row per day between two dates, both included. -#}
{% macro day_series(first_day, last_day) -%}
    {%- if target.type == 'spark' -%}
        explode(sequence({{ first_day }}, {{ last_day }}, interval '1' day))
    {%- else -%}
        cast(unnest(generate_series({{ first_day }}, {{ last_day }}, interval 1 day)) as date)
    {%- endif -%}
{%- endmacro %}
