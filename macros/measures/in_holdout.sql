{#- Whether a user belongs to the holdout: `holdout_share` of all users, whom nobody should contact, so
    that a campaign's lift can be measured. A hash of the user_id alone decides, so it is the same
    in every run and engine, and in Python (python_jobs.scoring.holdout); a greater share only adds users. -#}
{% macro in_holdout(user_id) -%}
    {%- set share = domain_settings().holdout_share -%}
    {%- if share >= 1 -%}
        true
    {%- else -%}
        substr(md5('holdout:' || {{ user_id }}), 1, 8) < '{{ '%08x' | format((share * 4294967296) | int) }}'
    {%- endif -%}
{%- endmacro %}
