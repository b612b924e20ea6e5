{#- A condition on all records of one user: the user is new since then, or the signup date changed. Users
    derived from events sign up at the earliest date of their records. -#}
{% macro signup_moved(settings, since) -%}
    max(ingested_at) > {{ since }}
    and (
        min(ingested_at) > {{ since }}
        {% if settings.users_from_events -%}
            or min(signup_date) < min(case when ingested_at <= {{ since }} then signup_date end)
        {%- else -%}
            or count(distinct signup_date) > 1
        {%- endif %}
    )
{%- endmacro %}
