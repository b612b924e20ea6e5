{#- The date of a UTC time in the domain's time zone. -#}
{% macro local_date(moment) -%}
    {%- set zone = domain_settings().timezone -%}
    {%- if zone in ('UTC', 'Etc/UTC') -%}
        cast({{ moment }} as date)
    {%- else -%}
        {{ adapter.dispatch('local_date', 'churnhouse')(moment, zone) }}
    {%- endif -%}
{%- endmacro %}

{% macro duckdb__local_date(moment, zone) -%}
    cast(timezone('{{ zone }}', timezone('UTC', {{ moment }})) as date)
{%- endmacro %}

{% macro spark__local_date(moment, zone) -%}
    cast(from_utc_timestamp(cast({{ moment }} as timestamp_ltz), '{{ zone }}') as date)
{%- endmacro %}
