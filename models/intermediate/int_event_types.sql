{% set own_types = domain_settings().event_types %}

{% if own_types %}

{% for event_type, facts in own_types.items() %}
select
    cast({{ text_literal(event_type) }} as string) as event_type,
    cast({{ facts.is_activity }} as boolean) as is_activity
{{ 'union all' if not loop.last }}
{% endfor %}

{% else %}

select
    cast(event_type as string) as event_type,
    cast(is_activity as boolean) as is_activity
from {{ ref('event_types') }}

{% endif %}
