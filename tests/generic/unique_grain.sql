{#- Keys that occur more than once, or that contain a NULL. -#}
{% test unique_grain(model, columns) %}
{{ repeated_keys(model, columns) }}
{% endtest %}
