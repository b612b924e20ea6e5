{% set settings = domain_settings() %}

with

records as (select * from {{ ref('int_user_history') }})

select
    user_id,
    {% for attribute in settings.attributes -%}
    {{ attribute }},
    {% endfor -%}
    user_signup_date as signup_date
from records
where is_current
