{#- Whether a value breaks a check of domain.yml; a missing value breaks none. -#}
{% macro out_of_range(column, check) -%}
    {%- set broken = [] -%}
    {%- if check.min is defined %}{% do broken.append(column ~ ' < ' ~ check.min) %}{% endif -%}
    {%- if check.max is defined %}{% do broken.append(column ~ ' > ' ~ check.max) %}{% endif -%}
    {%- if check.above is defined %}{% do broken.append(column ~ ' <= ' ~ check.above) %}{% endif -%}
    {%- if check.get('values') -%}
        {% do broken.append(column ~ " not in ('" ~ check['values'] | join("', '") ~ "')") %}
    {%- endif -%}
    {{ broken | join(' or ') }}
{%- endmacro %}
