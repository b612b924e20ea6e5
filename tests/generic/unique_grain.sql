{#- Keys that stand more than once. A key with a NULL in it is a row of no grain: it fails. -#}
{% test unique_grain(model, columns) %}
{{ repeated_keys(model, columns) }}
{% endtest %}
