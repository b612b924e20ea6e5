{{ config(materialized='view') }}

with

users as (select * from {{ ref('int_users') }})

select
    user_id,
    {% for attribute in attribute_columns(domain_settings()) -%}
    {{ attribute }},
    {% endfor -%}
    signup_date
from users
where exclude_reason is null
