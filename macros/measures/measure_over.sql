{#- A measure over one window, from the window's totals. An average is the sum divided by the count of
    events, not a mean of daily means; it is NULL without values. -#}
{% macro measure_over(measure, n) -%}
    {%- if measure.agg == 'avg' -%}
        {{ divide(measure.name ~ '_sum_' ~ n ~ 'd', measure.name ~ '_count_' ~ n ~ 'd') }}
    {%- else -%}
        cast({{ measure.name }}_{{ n }}d as {{ 'integer' if measure.agg == 'count' else 'double' }})
    {%- endif -%}
{%- endmacro %}
