{#- The earliest day that a window of n known days may start after, for the block of days being written:
    unknown days move it back. DuckDB counts them in a session variable, Spark gets a literal. -#}
{% macro earliest_back(n) -%}
    {{ add_days(block_start(), '-' ~ n ~ ' - ' ~ unknown_days_so_far()) }}
{%- endmacro %}

{% macro unknown_days_so_far() %}{{ return(adapter.dispatch('unknown_days_so_far', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__unknown_days_so_far() %}coalesce(getvariable('unknown_days'), 0){% endmacro %}

{% macro spark__unknown_days_so_far() %}
    {% set count = 0 %}
    {% set days = this.incorporate(path={'identifier': 'days'}, type='table') %}
    {% if execute and load_relation(days) %}
        {% set count = run_query('select count(*) from ' ~ days ~ ' where is_unknown').rows[0][0] %}
    {% endif %}
    {{ return(count) }}
{% endmacro %}
