{#- True if a value fails a check of domain.yml. A missing value passes. With only_on, events of those
    types must have a value, and events of other types are not checked. -#}
{% macro out_of_range(column, check, event_type='event_type') -%}
    {%- set broken = [] -%}
    {%- if check.min is defined %}{% do broken.append(column ~ ' < ' ~ check.min) %}{% endif -%}
    {%- if check.max is defined %}{% do broken.append(column ~ ' > ' ~ check.max) %}{% endif -%}
    {%- if check.above is defined %}{% do broken.append(column ~ ' <= ' ~ check.above) %}{% endif -%}
    {%- if check.get('values') -%}
        {% do broken.append(column ~ ' not in (' ~ text_list(check['values']) ~ ')') %}
    {%- endif -%}
    {%- if check.get('only_on') -%}
        {% do broken.append(column ~ ' is null') %}
        {{ event_type }} in ({{ text_list(check.only_on) }}) and ({{ broken | join(' or ') }})
    {%- else -%}
        ({{ broken | join(' or ') or 'false' }})
    {%- endif -%}
{%- endmacro %}
