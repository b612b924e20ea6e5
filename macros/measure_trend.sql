{#- The shortest window's daily rate over the longest window's: 1 is steady, under 1 fading, NULL
    where the longest window is empty. -#}
{% macro measure_trend(totals, measure, shortest, longest) -%}
    {{ divide(measure_over(totals, measure, shortest), measure_over(totals, measure, longest)) }}
    {%- if measure.agg != 'avg' %} * {{ longest }} / {{ shortest }}{% endif %}
{%- endmacro %}
