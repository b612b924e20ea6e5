{#- The last as_of_date whose label window has closed, from a row of build_window. -#}
{% macro last_mature_day() -%}
    {{ add_days('data_through', -domain_settings().churn_horizon_days) }}
{%- endmacro %}
