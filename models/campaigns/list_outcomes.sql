with

contacts as (select * from {{ ref('contacts') }}),

lists as (select * from {{ ref('list_history') }}),

labels as (select * from {{ ref('churn_labels') }}),

called as (

    select
        user_id,
        cast(date_trunc('week', treated_on) as date) as week,
        min(treated_on) as day
    from contacts
    where action = 'contacted'
    group by user_id, cast(date_trunc('week', treated_on) as date)

),

-- the newest list of the seven days before the contact that has the user
listed as (

    select
        called.week,
        called.user_id,
        called.day,
        max(lists.as_of_date) as listed_on
    from called
    inner join lists
        on
            called.user_id = lists.user_id
            and called.day > lists.as_of_date
            and {{ add_days('called.day', -7) }} <= lists.as_of_date
    inner join labels on called.user_id = labels.user_id and called.day = labels.as_of_date
    where lists.is_listed
    group by called.week, called.user_id, called.day

),

weeks as (

    select
        week,
        min(day) as day,
        min(listed_on) as listed_on,
        count(*) as called_users
    from listed
    group by week

),

sizes as (

    select
        as_of_date,
        count(*) as list_size
    from lists
    where is_listed
    group by as_of_date

),

-- users of the holdout whom nobody ever contacted, by the first list of each week
controls as (

    select
        weeks.week,
        lists.user_id,
        weeks.day,
        weeks.listed_on
    from weeks
    inner join lists on weeks.listed_on = lists.as_of_date
    left join called on lists.user_id = called.user_id
    where lists.in_holdout and called.user_id is null

),

people as (

    select
        *,
        true as is_treated
    from listed
    union all
    select
        *,
        false as is_treated
    from controls

)

select
    people.week,
    people.user_id,
    people.day as as_of_date,
    people.listed_on,
    people.is_treated,
    lists.is_explored,
    lists.list_probability,
    lists.risk_place,
    sizes.list_size,
    case
        when people.is_treated then 1 else weeks.called_users / cast(first_sizes.list_size as double)
    end as called_share,
    lists.user_value,
    lists.expected_loss,
    labels.churn_label
from people
inner join weeks on people.week = weeks.week
inner join sizes on people.listed_on = sizes.as_of_date
inner join sizes as first_sizes on weeks.listed_on = first_sizes.as_of_date
inner join lists on people.user_id = lists.user_id and people.listed_on = lists.as_of_date
inner join labels on people.user_id = labels.user_id and people.day = labels.as_of_date
