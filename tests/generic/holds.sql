{#- Rows for which an expression is not true, and which. Unknown (NULL) is not true, so it fails too. One
    test a model, however many expressions: dbt's own share of a test is 40 milliseconds. -#}
{% test holds(model, expressions) %}
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
