-- Each _file view is one raw file at a time, with the columns that domain.yml declares.
create or replace temp view users as
select
    user_id,
    signup_date,
    updated_at,
    plan,
    country,
    marketing_source
from users_file;

create or replace temp view events as
select
    event_id,
    user_id,
    event_time,
    event_type,
    watch_minutes,
    quiz_score,
    amount
from events_file;

create or replace temp view treatments as
select
    user_id,
    treated_at,
    campaign,
    channel,
    outcome,
    note,
    "by"
from treatments_file;
