{#- What staging accepted of the users breaks no check that domain.yml declares. -#}
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
        or coalesce({{ out_of_range(column, check) }}, false)
    {% endfor %}
