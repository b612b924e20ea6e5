{#- A condition on all records of one user: it is news since a moment that the user exists, or when
    the user signed up. Users derived from events count from the earliest date named. -#}
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
