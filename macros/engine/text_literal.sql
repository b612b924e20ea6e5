{#- Any text as a SQL literal. -#}
{% macro text_literal(text) %}{{ return(adapter.dispatch('text_literal', 'churnhouse')(text)) }}{% endmacro %}

{% macro duckdb__text_literal(text) %}'{{ text | replace("'", "''") }}'{% endmacro %}

{% macro spark__text_literal(text) %}'{{ text | replace('\\', '\\\\') | replace("'", "\\'") }}'{% endmacro %}
