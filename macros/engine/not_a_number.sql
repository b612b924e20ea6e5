{#- True for NaN, infinity and text that is no number in a received column, whatever its type. -#}
{% macro not_a_number(column) %}{{ return(adapter.dispatch('not_a_number', 'churnhouse')(column)) }}{% endmacro %}

{% macro duckdb__not_a_number(column) -%}
    coalesce(not isfinite(try_cast({{ column }} as double)), {{ column }} is not null)
{%- endmacro %}

{% macro spark__not_a_number(column) -%}
    case
        when try_cast({{ column }} as double) is null then {{ column }} is not null
        else isnan(try_cast({{ column }} as double))
            or abs(try_cast({{ column }} as double)) = double('infinity')
    end
{%- endmacro %}
