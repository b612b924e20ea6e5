{#- A measure over one window, from the window's totals. An average is a sum over a count of events,
    not a mean of daily means, and NULL where nothing was measured. -#}
{% macro measure_over(totals, measure, window) -%}
    {%- set total = totals ~ '.' ~ measure.name -%}
    {%- if measure.agg == 'avg' -%}
        {{ divide(total ~ '_sum_' ~ window ~ 'd', total ~ '_count_' ~ window ~ 'd') }}
    {%- else -%}
        cast({{ total }}_{{ window }}d as {{ 'integer' if measure.agg == 'count' else 'double' }})
    {%- endif -%}
{%- endmacro %}
