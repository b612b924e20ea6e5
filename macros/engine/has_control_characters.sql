{#- True if a text holds control characters, such as a line end. -#}
{% macro has_control_characters(column) -%}
    {{ return(adapter.dispatch('has_control_characters', 'churnhouse')(column)) }}
{%- endmacro %}

{% macro duckdb__has_control_characters(column) -%}
    regexp_matches({{ column }}, '[\x00-\x1f\x7f]')
{%- endmacro %}

{% macro spark__has_control_characters(column) -%}
    {{ column }} rlike '[\\x00-\\x1f\\x7f]'
{%- endmacro %}
