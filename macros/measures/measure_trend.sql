{#- The shortest window's daily rate over the longest window's: 1 is steady, under 1 fading, NULL
    where the longest window is empty. -#}
{% macro measure_trend(measure, shortest, longest) -%}
    {{ divide(measure_over(measure, shortest), measure_over(measure, longest)) }}
    {%- if measure.agg != 'avg' %} * {{ longest }} / {{ shortest }}{% endif %}
{%- endmacro %}
