{#- The type of every measured value: sums of decimals are exact, so they do not depend on the
    order of their rows, and the difference of two running totals has no rounding noise. -#}
{% macro exact_decimal() -%}
    decimal(18, 4)
{%- endmacro %}
