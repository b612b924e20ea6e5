create or replace temp view users as
select
    user_id,
    signup_date,
    updated_at,
    plan,
    email,
    gone = 'yes' as is_deleted
from users_file;

create or replace temp view identities as select * from identities_file;

create or replace temp view events as
select
    event_id,
    user_id,
    "at" as event_time,
    kind as event_type,
    minutes,
    version,
    gone = 'yes' as is_deleted
from events_file;
