{% set columns = shared_columns(source('ml', 'scored_features'), ref('user_features_daily')) %}

with

served as (select * from {{ source('ml', 'scored_features') }}),

today as (select * from {{ ref('user_features_daily') }}),

compared as (

    {% for column in columns -%}
        select
            served.as_of_date,
            '{{ column.name }}' as feature,
            count(*) as users,
            count(
                case when served.{{ column.name }} is distinct from today.{{ column.name }} then 1 end
            ) as users_changed
        from served
        inner join today
            on served.user_id = today.user_id and served.as_of_date = today.as_of_date
        group by served.as_of_date
        union all
    {% endfor -%}
    select
        served.as_of_date,
        cast(null as string) as feature,
        cast(0 as bigint) as users,
        cast(0 as bigint) as users_changed
    from served
    where false

)

select
    feature,
    as_of_date,
    cast(users as bigint) as users,
    cast(users_changed as bigint) as users_changed,
    {{ divide('users_changed', 'users') }} as share_changed
from compared
