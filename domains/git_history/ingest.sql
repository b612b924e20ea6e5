-- One event per commit, named for the first kind of file it touches: code, test, config, docs.
-- A commit of 1970 was made without a clock, so it is rejected.
create or replace temp view events as
select
    commit_id as event_id,
    author as user_id,
    committed_at as event_time,
    case
        when cast(is_bot as boolean) then 'bot'
        when parents > 1 then 'merge'
        when code_files > 0 then 'code'
        when test_files > 0 then 'test'
        when config_files > 0 then 'config'
        when docs_files > 0 then 'docs'
        else 'empty'
    end as event_type,
    lines_added,
    lines_deleted,
    code_files + test_files + config_files + docs_files as files_touched,
    if(
        try_cast(committed_at as timestamp) < timestamp '1971-01-01', 'clock_not_set', null
    ) as reject_reason
from events_file;

create or replace temp view users as
select
    user_id,
    min(try_cast(event_time as timestamp)) as signup_date,
    min(try_cast(event_time as timestamp)) as updated_at
from events
where user_id is not null and reject_reason is null
group by user_id
order by user_id;
