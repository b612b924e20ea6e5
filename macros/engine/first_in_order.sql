{#- The min of a column, or the max with `desc`, as a scalar subquery. With an order and a limit DuckDB
    reads only the row groups that can hold it. -#}
{% macro first_in_order(relation, column, direction='asc') -%}
    (select {{ column }} from {{ relation }} order by {{ column }} {{ direction }} limit 1)
{%- endmacro %}
