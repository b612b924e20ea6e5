{#- True for NaN and infinity in a received column, whatever its type. -#}
{% macro not_a_number(column) %}{{ return(adapter.dispatch('not_a_number', 'churnhouse')(column)) }}{% endmacro %}

{% macro duckdb__not_a_number(column) -%}
    not isfinite(try_cast({{ column }} as double))
{%- endmacro %}

{% macro spark__not_a_number(column) -%}
    (isnan(try_cast({{ column }} as double)) or abs(try_cast({{ column }} as double)) = double('infinity'))
{%- endmacro %}
