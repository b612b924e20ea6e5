-- One event per commit, named for the first kind of file it touches: code, test, config, docs.
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
    code_files + test_files + config_files + docs_files as files_touched
from events_file;
