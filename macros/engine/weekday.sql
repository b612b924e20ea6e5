{#- The ISO day of the week of a date: 1 is Monday, 7 is Sunday. -#}
{% macro weekday(day) %}{{ return(adapter.dispatch('weekday', 'churnhouse')(day)) }}{% endmacro %}

{% macro duckdb__weekday(day) %}extract(isodow from {{ day }}){% endmacro %}

{% macro spark__weekday(day) %}extract(dayofweek_iso from {{ day }}){% endmacro %}
