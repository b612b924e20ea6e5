{#- Reasons of rows that do not count although nothing is wrong with them: repeats, older versions,
    deletions, and events of excluded users. They are no rejects. -#}
{% macro set_aside_reasons() -%}
    'repeated_event', 'superseded_event', 'deleted_event', 'deletion', 'excluded_user'
{%- endmacro %}
