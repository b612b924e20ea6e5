create or replace temp view users as
select
    user_id,
    signup_date,
    updated_at,
    plan
from users_file;

create or replace temp view events as
select
    event_id,
    user_id,
    event_time,
    event_type,
    minutes
from events_file;
