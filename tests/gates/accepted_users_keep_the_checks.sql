{#- Accepted users pass every check of domain.yml. -#}
{% set settings = domain_settings() %}
with

users as (select * from {{ ref('accepted_users') }})

select
    user_id,
    signup_date as found,
    'the checks of domain.yml' as allowed
from users
where
    signup_date is null
    {% for column, check in settings.checks.items() if column in settings.attributes -%}
        or coalesce({{ out_of_range(adapter.quote(column), check) }}, false)
    {% endfor %}
