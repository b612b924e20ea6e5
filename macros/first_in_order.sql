{#- The first value of a column in its order, `desc` for the last: a scalar subquery that means min or max, but
    by an order DuckDB finds the value without reading what lies between. -#}
{% macro first_in_order(relation, column, direction='asc') -%}
    (select {{ column }} from {{ relation }} order by {{ column }} {{ direction }} limit 1)
{%- endmacro %}
