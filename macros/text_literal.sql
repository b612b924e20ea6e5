{#- Any text as a literal of the engine. -#}
{% macro text_literal(text) -%}
    {%- if target.type == 'spark' -%}
        '{{ text | replace('\\', '\\\\') | replace("'", "\\'") }}'
    {%- else -%}
        '{{ text | replace("'", "''") }}'
    {%- endif -%}
{%- endmacro %}
