{#- A hash of an id, faster to search by than its text. Two ids may share one. -#}
{% macro id_key(column) %}{{ return(adapter.dispatch('id_key', 'churnhouse')(column)) }}{% endmacro %}

{% macro duckdb__id_key(column) %}hash({{ column }}){% endmacro %}

{% macro spark__id_key(column) %}xxhash64({{ column }}){% endmacro %}
