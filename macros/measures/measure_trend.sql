{#- The daily rate of the shortest window divided by that of the longest: 1 is steady, below 1 declining.
    NULL if the longest window is empty. -#}
{% macro measure_trend(measure, shortest, longest) -%}
    {{ divide(measure_over(measure, shortest), measure_over(measure, longest)) }}
    {%- if measure.agg != 'avg' %} * {{ longest }} / {{ shortest }}{% endif %}
{%- endmacro %}
