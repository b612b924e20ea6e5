{#- Accepted events pass every check of domain.yml. -#}
{% set settings = domain_settings() %}
with

events as (select * from {{ new_rows(ref('accepted_events')) }})

select
    event_id,
    event_time as found,
    'the checks of domain.yml' as allowed
from events
where
    event_time > ingested_at + interval '{{ settings.arrival_tolerance_minutes }}' minute
    {% for column, check in settings.checks.items() if column not in settings.attributes -%}
        or coalesce({{ out_of_range(adapter.quote(column), check) }}, false)
    {% endfor %}
