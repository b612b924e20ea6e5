{#- A model that holds one row: a count that is not one. -#}
{% test one_row(model) %}
select count(*) as found
from {{ model }}
having count(*) <> 1
{% endtest %}
