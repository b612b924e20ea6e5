{#- Rows for which an expression is not true. Unknown (NULL) is not true, so it fails too. -#}
{% test holds(model, expression) %}
select *
from {{ model }}
where ({{ expression }}) is not true
{% endtest %}
