{#- recent: silent for less than a quarter of the horizon, a contact then comes early; else silent. -#}
{% macro silence_group(days_silent) -%}
    case when ({{ days_silent }}) * 4 < {{ domain_settings().churn_horizon_days }} then 'recent' else 'silent' end
{%- endmacro %}
