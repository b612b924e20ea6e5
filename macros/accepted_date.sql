{#- The column that holds an accepted event's date. On DuckDB it is touches_date, for the wild dates of
    refused rows would hide from the engine which rows it can skip; on Spark event_date names the folder. -#}
{% macro accepted_date() -%}
    {{ 'event_date' if target.type == 'spark' else 'touches_date' }}
{%- endmacro %}
