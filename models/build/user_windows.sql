with

users as (select * from {{ ref('accepted_users') }}),

changed_users as (select * from {{ ref('changed_users') }}),

build_window as (select * from {{ ref('build_window') }}),

-- users who count no more: their rows are removed and none is written
gone_users as (

    select changed_users.user_id
    from changed_users
    left join users on changed_users.user_id = users.user_id
    where users.user_id is null

)

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
union all
select
    gone_users.user_id,
    cast(null as date) as signup_date,
    date '9999-12-31' as data_from,
    build_window.data_from as rewrite_from
from gone_users
cross join build_window
