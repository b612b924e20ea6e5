{#- The daily rate of a short window divided by that of a long one: 1 is steady, below 1 declining.
    NULL if the long window is empty. -#}
{% macro measure_trend(measure, short, long) -%}
    {{ divide(measure_over(measure, short), measure_over(measure, long)) }}
    {%- if measure.agg != 'avg' %} * {{ long }} / {{ short }}{% endif %}
{%- endmacro %}
