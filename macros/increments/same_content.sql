{#- What two rows of one event id must share to say the same, as one number. -#}
{% macro content_key(settings) -%}
    {%- set columns = ['user_id', 'event_type', 'event_time'] -%}
    {%- for column in event_columns(settings) %}{% do columns.append(column.received) %}{% endfor -%}
    {%- if settings.has_identities %}{% do columns.append('received_user_id') %}{% endif -%}
    {{ adapter.dispatch('hash_of', 'churnhouse')(columns) }}
{%- endmacro %}

{% macro duckdb__hash_of(columns) %}hash({{ columns | join(', ') }}){% endmacro %}

{% macro spark__hash_of(columns) %}xxhash64({{ columns | join(', ') }}){% endmacro %}
