{#- How many days a day table's row looks ahead: the setting that `looks_ahead` names, or 0. -#}
{% macro days_ahead() -%}
    {%- set setting = config.get('looks_ahead') -%}
    {{ return(domain_settings()[setting] if setting else 0) }}
{%- endmacro %}
