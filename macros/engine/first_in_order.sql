{#- The first value of a column in its order, `desc` for the last: min or max as a scalar subquery. By the order
    DuckDB finds it without reading what lies between. -#}
{% macro first_in_order(relation, column, direction='asc') -%}
    (select {{ column }} from {{ relation }} order by {{ column }} {{ direction }} limit 1)
{%- endmacro %}
