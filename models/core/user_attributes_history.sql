{% set attributes = attribute_columns(domain_settings()) %}

with

history as (select * from {{ ref('int_user_history') }}),

users as (select * from {{ ref('accepted_users') }})

select
    history.user_id,
    {% for attribute in attributes %}history.{{ attribute }}, {% endfor %}
    cast(history.valid_from as date) as valid_from,
    cast(history.valid_to as date) as valid_to
from history
inner join users on history.user_id = users.user_id
where history.valid_from < history.valid_to and not history.is_deleted
