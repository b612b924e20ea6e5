{#- warn from a PSI of 0.10, fail from 0.25 on, if it is also above sampling noise; else ok. -#}
{% macro drift_status(psi, noise_psi) -%}
    case
        when {{ psi }} >= 0.25 and {{ psi }} > {{ noise_psi }} then 'fail'
        when {{ psi }} >= 0.10 and {{ psi }} > {{ noise_psi }} then 'warn'
        else 'ok'
    end
{%- endmacro %}
