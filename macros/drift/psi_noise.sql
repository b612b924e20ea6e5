{#- The PSI that two samples of one distribution stay under 99 times of 100. It is about (1/n + 1/m) * a
    chi-squared with bins - 1 degrees of freedom, whose quantile is Wilson and Hilferty's approximation. -#}
{% macro psi_noise(reference_rows, current_rows, freedom) -%}
    cast(
        (1e0 / {{ reference_rows }} + 1e0 / {{ current_rows }}) * {{ freedom }}
        * power(1 - 2e0 / (9 * {{ freedom }}) + 2.326e0 * sqrt(2e0 / (9 * {{ freedom }})), 3)
        as double
    )
{%- endmacro %}
