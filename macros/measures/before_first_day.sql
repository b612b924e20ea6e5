{#- True for a time that cannot be true: before the domain's first_day, or ten years before it arrived. -#}
{% macro before_first_day(moment, arrived_at) -%}
    {%- set first_day = domain_settings().first_day -%}
    {{ moment }} < {{ "date '" ~ first_day ~ "'" if first_day else arrived_at ~ " - interval '3653' day" }}
{%- endmacro %}
