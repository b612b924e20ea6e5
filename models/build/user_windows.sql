with

users as (select * from {{ ref('accepted_users') }}),

changed_users as (select * from {{ ref('changed_users') }}),

build_window as (select * from {{ ref('build_window') }})

select
    users.user_id,
    users.signup_date,
    greatest(users.signup_date, build_window.data_from) as data_from,
    greatest(
        build_window.data_from, least(build_window.new_from, {{ rewritten_from() }})
    ) as rewrite_from
from users
left join changed_users on users.user_id = changed_users.user_id
cross join build_window
