{#- The type of every measured value. Sums of decimals do not depend on the order of rows, and the
    difference of two running totals has no rounding noise. -#}
{% macro exact_decimal() -%}
    decimal(18, 4)
{%- endmacro %}
