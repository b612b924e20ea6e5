{#- The type of a measured value with `scale` decimals. Sums of decimals do not depend on the order of
    rows, and the difference of two running totals has no rounding noise. -#}
{% macro exact_decimal(scale=4) -%}
    decimal({{ 18 if scale <= 4 else 38 }}, {{ scale }})
{%- endmacro %}
