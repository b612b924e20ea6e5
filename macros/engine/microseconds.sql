{#- Microseconds since 1970-01-01 of a UTC time, as a double. -#}
{% macro microseconds(moment) %}{{ return(adapter.dispatch('microseconds', 'churnhouse')(moment)) }}{% endmacro %}

{% macro duckdb__microseconds(moment) %}cast(epoch_us({{ moment }}) as double){% endmacro %}

{% macro spark__microseconds(moment) %}cast(unix_micros(cast({{ moment }} as timestamp_ltz)) as double){% endmacro %}
