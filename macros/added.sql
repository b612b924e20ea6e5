{#- What one event adds to an additive column: see additive_columns. -#}
{% macro added(column) -%}
    {%- if column.event_type -%}
        case when event_type = '{{ column.event_type }}' then {{ column.adds }} end
    {%- else -%}
        {{ column.adds }}
    {%- endif -%}
{%- endmacro %}
