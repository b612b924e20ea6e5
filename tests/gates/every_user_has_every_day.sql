{#- user_daily has a row for every user and day, from signup or the first day of data to
    data_through. -#}
with

users as (select * from {{ ref('accepted_users') }}),

build_window as (select * from {{ ref('build_window') }}),

user_daily as (select * from {{ ref('user_daily') }}),

expected as (

    select
        sum(
            {{ day_number('build_window.data_through') }}
            - {{ day_number('greatest(users.signup_date, build_window.data_from)') }} + 1
        ) as rows_expected
    from users
    inner join build_window on users.signup_date <= build_window.data_through

),

counted as (select count(*) as rows_found from user_daily)

select
    counted.rows_found as found,
    expected.rows_expected as allowed
from counted
cross join expected
where counted.rows_found is distinct from coalesce(expected.rows_expected, 0)
