{#- One number divided by another, as a double; NULL if the divisor is 0 or NULL. -#}
{% macro divide(numerator, denominator) -%}
    cast({{ numerator }} as double) / nullif(cast({{ denominator }} as double), 0)
{%- endmacro %}
