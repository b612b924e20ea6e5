{#- Rows for which an expression is not true, and the expression. NULL is not true. One test takes all
    expressions of a model, since each test costs dbt 40 ms. -#}
{% test expression_is_true(model, expressions) %}
select
    case
    {% for expression in expressions -%}
        when ({{ expression }}) is not true then {{ text_literal(expression) }}
    {% endfor %}
    end as broken,
    *
from {{ model }}
where
    {% for expression in expressions -%}
        {{ 'or' if not loop.first }} ({{ expression }}) is not true
    {% endfor %}
{% endtest %}
