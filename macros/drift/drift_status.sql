{#- ok, warn or fail: a PSI from 0.10 or 0.25 on, where sampling noise alone would not reach it. -#}
{% macro drift_status(psi, noise_psi) -%}
    case
        when {{ psi }} >= 0.25 and {{ psi }} > {{ noise_psi }} then 'fail'
        when {{ psi }} >= 0.10 and {{ psi }} > {{ noise_psi }} then 'warn'
        else 'ok'
    end
{%- endmacro %}
