{#- True if a user is in the holdout. A hash of user_id decides, so every run, both engines and Python
    (python_jobs/publication/holdout.py) agree. A larger holdout_share only adds users. -#}
{% macro in_holdout(user_id) -%}
    {%- set share = domain_settings().holdout_share -%}
    {%- if share >= 1 -%}
        true
    {%- else -%}
        substr(md5('holdout:' || {{ user_id }}), 1, 8) < '{{ '%08x' | format((share * 4294967296) | int) }}'
    {%- endif -%}
{%- endmacro %}
