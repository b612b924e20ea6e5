{#- How many days ahead a row of this day table looks: the setting that its config `looks_ahead` names, or 0. -#}
{% macro days_ahead() -%}
    {%- set setting = config.get('looks_ahead') -%}
    {{ return(domain_settings()[setting] if setting else 0) }}
{%- endmacro %}
