{#- The most characters of a user's id; the API's limit too, python_jobs/publication/ids.py. -#}
{% macro longest_id() %}{{ return(256) }}{% endmacro %}
