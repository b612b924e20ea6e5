{#- Rows whose key stands more than once. A key with a NULL in it is a row of no grain: it fails. -#}
{% test unique_grain(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having
    count(*) > 1
    {% for column in columns -%}
        or {{ column }} is null
    {% endfor %}
{% endtest %}
