{#- The PSI that two samples of one distribution stay under 99 times of 100: about (1/n + 1/m) times the
    quantile of chi-squared with bins - 1 degrees of freedom (Wilson and Hilferty's approximation). -#}
{% macro psi_noise(reference_rows, current_rows, freedom) -%}
    cast(
        (1e0 / {{ reference_rows }} + 1e0 / {{ current_rows }}) * {{ freedom }}
        * power(1 - 2e0 / (9 * {{ freedom }}) + 2.326e0 * sqrt(2e0 / (9 * {{ freedom }})), 3)
        as double
    )
{%- endmacro %}
