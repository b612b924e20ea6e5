-- Hand-written SQL for the elearning tables, as lean as DuckDB allows: the baseline for dbt's build.
-- Same rows and columns as the models of these names, without increments, tests or other domains.

create or replace table int_user_history as
with records as (
    select *, cast(coalesce(updated_at, ingested_at) as date) as changed_on
    from raw.users
    where
        trim(user_id) <> '' and signup_date is not null and updated_at_unread is null
        and signup_date <= cast(ingested_at as date) and plan in ('free', 'basic', 'premium')
)
select
    row_id, user_id, plan, country, marketing_source, signup_date,
    last(signup_date) over whole as user_signup_date,
    lead(changed_on) over whole is null as is_current,
    case
        when lag(row_id) over whole is null then least(last(signup_date) over whole, changed_on)
        else changed_on
    end as valid_from,
    coalesce(lead(changed_on) over whole, date '9999-12-31') as valid_to,
    ingested_at
from records
window whole as (
    partition by user_id order by changed_on, row_id
    rows between unbounded preceding and unbounded following
);


create or replace table int_events_validated as
with typed as not materialized (
    select
        e.*, t.is_activity, u.signup_date,
        try_cast(watch_minutes as decimal(18, 4)) as minutes,
        try_cast(quiz_score as decimal(18, 4)) as score,
        try_cast(amount as decimal(18, 4)) as money,
        cast(event_time as date) as event_date
    from raw.events as e
    left join event_types as t using (event_type)
    left join (select user_id, user_signup_date as signup_date from int_user_history where is_current)
        as u using (user_id)
), judged as not materialized (
    select *, case
        when reject_reason = 'forgotten_user' then reject_reason
        when event_id is null or trim(event_id) = '' then 'missing_event_id'
        when user_id is null or trim(user_id) = '' then 'missing_user_id'
        when event_time is null then 'unreadable_event_time'
        when event_time > ingested_at + interval 10 minute then 'event_time_after_arrival'
        when reject_reason is not null then reject_reason
        when minutes < 0 or (minutes is null and watch_minutes is not null)
            then 'watch_minutes_out_of_range'
        when score < 0 or score > 100 or (score is null and quiz_score is not null)
            then 'quiz_score_out_of_range'
        when (money is null and amount is not null)
            or (event_type in ('payment_success', 'payment_failed') and (money <= 0 or money is null))
            then 'amount_out_of_range'
        when is_activity is null then 'unknown_event_type'
        when signup_date is null then 'unknown_user'
        when event_date < signup_date then 'before_signup'
    end as reason
    from typed
), ids_of_several_rows as (
    select event_id from raw.events group by event_id having count(*) > 1
), first_good as (
    select event_id, min(row_id) as row_id from judged
    where reason is null and event_id in (select event_id from ids_of_several_rows)
    group by event_id
), verdicts as (
    select j.*, case when j.reason is not null then j.reason
        when j.row_id <> f.row_id then 'duplicate_event_id' end as verdict
    from judged as j left join first_good as f using (event_id)
)
select
    row_id, file_id, event_id, user_id, event_type,
    minutes as watch_minutes, watch_minutes as watch_minutes_received,
    score as quiz_score, quiz_score as quiz_score_received,
    money as amount, amount as amount_received,
    is_activity, event_time, event_time_unread, event_date, ingested_at,
    verdict as reject_reason,
    case when verdict is null then event_date end as touches_date,
    (select max(ingested_at) from raw.files) as written_at
from verdicts;

create or replace table user_daily (
    user_id varchar, day date, is_active boolean, events integer, logins integer,
    course_enrolls integer, watch_minutes decimal(18, 4), quiz_attempts integer,
    quiz_score_sum decimal(18, 4), quiz_score_count integer, payments integer,
    failed_payments integer, support_tickets integer, events_total integer, logins_total integer,
    course_enrolls_total integer, watch_minutes_total decimal(18, 4), quiz_attempts_total integer,
    quiz_score_sum_total decimal(18, 4), quiz_score_count_total integer, payments_total integer,
    failed_payments_total integer, support_tickets_total integer, active_days_total integer,
    last_active_on date
);

-- bench/full_build.py calls this for each block of days. Totals run over days with events only; each
-- total holds until the user's next day with events.
create or replace macro user_days(block_start, block_end) as table (
with users as (
    select user_id, greatest(user_signup_date, block_start) as first_day
    from int_user_history where is_current and user_signup_date <= block_end
), steps as (
    select
        u.user_id, u.first_day as day, false as has_events, c.last_active_on,
        c.events_total as events, c.logins_total as logins,
        c.course_enrolls_total as course_enrolls, c.watch_minutes_total as watch_minutes,
        c.quiz_attempts_total as quiz_attempts, c.quiz_score_sum_total as quiz_score_sum,
        c.quiz_score_count_total as quiz_score_count, c.payments_total as payments,
        c.failed_payments_total as failed_payments, c.support_tickets_total as support_tickets,
        c.active_days_total as active_days
    from users as u
    left join (from user_daily where day = block_start - 1) as c using (user_id)
    union all
    select
        user_id, event_date, true, max(event_date) filter (is_activity), count(*),
        count(*) filter (event_type = 'login'),
        count(*) filter (event_type = 'course_enroll'),
        sum(watch_minutes) filter (event_type = 'video_watch'),
        count(*) filter (event_type = 'quiz_attempt'),
        sum(quiz_score) filter (event_type = 'quiz_attempt'),
        count(quiz_score) filter (event_type = 'quiz_attempt'),
        count(*) filter (event_type = 'payment_success'),
        count(*) filter (event_type = 'payment_failed'),
        count(*) filter (event_type = 'support_ticket'),
        bool_or(is_activity)::integer
    from int_events_validated
    where reject_reason is null and event_date between block_start and block_end
    group by all
), running as (
    select
        *,
        sum(events) over so_far as events_total, sum(logins) over so_far as logins_total,
        sum(course_enrolls) over so_far as course_enrolls_total,
        sum(watch_minutes) over so_far as watch_minutes_total,
        sum(quiz_attempts) over so_far as quiz_attempts_total,
        sum(quiz_score_sum) over so_far as quiz_score_sum_total,
        sum(quiz_score_count) over so_far as quiz_score_count_total,
        sum(payments) over so_far as payments_total,
        sum(failed_payments) over so_far as failed_payments_total,
        sum(support_tickets) over so_far as support_tickets_total,
        sum(active_days) over so_far as active_days_total,
        max(last_active_on) over so_far as last_active,
        coalesce(lead(day) over so_far - 1, block_end) as through
    from steps
    window so_far as (partition by user_id order by day, has_events)
), held as (
    select *, unnest(range(day, through + 1, interval 1 day))::date as held_on
    from running where day <= through
)
select
    user_id, held_on, has_events and held_on = day and active_days = 1,
    case when has_events and held_on = day then coalesce(events, 0) else 0 end::integer,
    case when has_events and held_on = day then coalesce(logins, 0) else 0 end::integer,
    case when has_events and held_on = day then coalesce(course_enrolls, 0) else 0 end::integer,
    case when has_events and held_on = day then coalesce(watch_minutes, 0) else 0 end::decimal(18, 4),
    case when has_events and held_on = day then coalesce(quiz_attempts, 0) else 0 end::integer,
    case when has_events and held_on = day then coalesce(quiz_score_sum, 0) else 0 end::decimal(18, 4),
    case when has_events and held_on = day then coalesce(quiz_score_count, 0) else 0 end::integer,
    case when has_events and held_on = day then coalesce(payments, 0) else 0 end::integer,
    case when has_events and held_on = day then coalesce(failed_payments, 0) else 0 end::integer,
    case when has_events and held_on = day then coalesce(support_tickets, 0) else 0 end::integer,
    coalesce(events_total, 0)::integer, coalesce(logins_total, 0)::integer,
    coalesce(course_enrolls_total, 0)::integer, coalesce(watch_minutes_total, 0)::decimal(18, 4),
    coalesce(quiz_attempts_total, 0)::integer, coalesce(quiz_score_sum_total, 0)::decimal(18, 4),
    coalesce(quiz_score_count_total, 0)::integer, coalesce(payments_total, 0)::integer,
    coalesce(failed_payments_total, 0)::integer, coalesce(support_tickets_total, 0)::integer,
    coalesce(active_days_total, 0)::integer, last_active
from held
order by held_on
);

-- Features of a block of days; bench/full_build.py calls this for each block.
create or replace macro features(first_day, last_day) as table (
with totals as (
    select
        d.user_id, d.day as as_of_date, d.last_active_on, r.plan, r.country, r.marketing_source,
        r.user_signup_date,
        d.events_total - coalesce(b7.events_total, 0) as events_7d,
        d.events_total - coalesce(b14.events_total, 0) as events_14d,
        d.events_total - coalesce(b30.events_total, 0) as events_30d,
        d.logins_total - coalesce(b7.logins_total, 0) as logins_7d,
        d.logins_total - coalesce(b14.logins_total, 0) as logins_14d,
        d.logins_total - coalesce(b30.logins_total, 0) as logins_30d,
        d.course_enrolls_total - coalesce(b7.course_enrolls_total, 0) as course_enrolls_7d,
        d.course_enrolls_total - coalesce(b14.course_enrolls_total, 0) as course_enrolls_14d,
        d.course_enrolls_total - coalesce(b30.course_enrolls_total, 0) as course_enrolls_30d,
        d.watch_minutes_total - coalesce(b7.watch_minutes_total, 0) as watch_minutes_7d,
        d.watch_minutes_total - coalesce(b14.watch_minutes_total, 0) as watch_minutes_14d,
        d.watch_minutes_total - coalesce(b30.watch_minutes_total, 0) as watch_minutes_30d,
        d.quiz_attempts_total - coalesce(b7.quiz_attempts_total, 0) as quiz_attempts_7d,
        d.quiz_attempts_total - coalesce(b14.quiz_attempts_total, 0) as quiz_attempts_14d,
        d.quiz_attempts_total - coalesce(b30.quiz_attempts_total, 0) as quiz_attempts_30d,
        d.quiz_score_sum_total - coalesce(b7.quiz_score_sum_total, 0) as quiz_score_sum_7d,
        d.quiz_score_sum_total - coalesce(b14.quiz_score_sum_total, 0) as quiz_score_sum_14d,
        d.quiz_score_sum_total - coalesce(b30.quiz_score_sum_total, 0) as quiz_score_sum_30d,
        d.quiz_score_count_total - coalesce(b7.quiz_score_count_total, 0) as quiz_score_count_7d,
        d.quiz_score_count_total - coalesce(b14.quiz_score_count_total, 0) as quiz_score_count_14d,
        d.quiz_score_count_total - coalesce(b30.quiz_score_count_total, 0) as quiz_score_count_30d,
        d.payments_total - coalesce(b7.payments_total, 0) as payments_7d,
        d.payments_total - coalesce(b14.payments_total, 0) as payments_14d,
        d.payments_total - coalesce(b30.payments_total, 0) as payments_30d,
        d.failed_payments_total - coalesce(b7.failed_payments_total, 0) as failed_payments_7d,
        d.failed_payments_total - coalesce(b14.failed_payments_total, 0) as failed_payments_14d,
        d.failed_payments_total - coalesce(b30.failed_payments_total, 0) as failed_payments_30d,
        d.support_tickets_total - coalesce(b7.support_tickets_total, 0) as support_tickets_7d,
        d.support_tickets_total - coalesce(b14.support_tickets_total, 0) as support_tickets_14d,
        d.support_tickets_total - coalesce(b30.support_tickets_total, 0) as support_tickets_30d,
        d.active_days_total - coalesce(b7.active_days_total, 0) as active_days_7d,
        d.active_days_total - coalesce(b14.active_days_total, 0) as active_days_14d,
        d.active_days_total - coalesce(b30.active_days_total, 0) as active_days_30d
    from (from user_daily where day between first_day and last_day) as d
    left join (from user_daily where day between first_day - 7 and last_day - 7) as b7
        on d.user_id = b7.user_id and b7.day = d.day - 7
    left join (from user_daily where day between first_day - 14 and last_day - 14) as b14
        on d.user_id = b14.user_id and b14.day = d.day - 14
    left join (from user_daily where day between first_day - 30 and last_day - 30) as b30
        on d.user_id = b30.user_id and b30.day = d.day - 30
    inner join int_user_history as r
        on d.user_id = r.user_id and d.day >= r.valid_from and d.day < r.valid_to
)
select
    user_id, as_of_date, coalesce(last_active_on > as_of_date - 30, false) as is_eligible,
    plan, country, marketing_source,
    (as_of_date - coalesce(last_active_on, user_signup_date))::integer as days_since_last_activity,
    (as_of_date - user_signup_date)::integer as tenure_days,
    active_days_7d::integer as active_days_7d, events_7d::integer as events_7d,
    active_days_14d::integer as active_days_14d, events_14d::integer as events_14d,
    active_days_30d::integer as active_days_30d, events_30d::integer as events_30d,
    logins_7d::integer as logins_7d,
    logins_14d::integer as logins_14d,
    logins_30d::integer as logins_30d,
    logins_7d::double / nullif(logins_30d::double, 0) * 30 / 7 as logins_trend,
    course_enrolls_7d::integer as course_enrolls_7d,
    course_enrolls_14d::integer as course_enrolls_14d,
    course_enrolls_30d::integer as course_enrolls_30d,
    course_enrolls_7d::double / nullif(course_enrolls_30d::double, 0) * 30 / 7 as course_enrolls_trend,
    watch_minutes_7d::double as watch_minutes_7d,
    watch_minutes_14d::double as watch_minutes_14d,
    watch_minutes_30d::double as watch_minutes_30d,
    watch_minutes_7d::double / nullif(watch_minutes_30d::double, 0) * 30 / 7 as watch_minutes_trend,
    quiz_attempts_7d::integer as quiz_attempts_7d,
    quiz_attempts_14d::integer as quiz_attempts_14d,
    quiz_attempts_30d::integer as quiz_attempts_30d,
    quiz_attempts_7d::double / nullif(quiz_attempts_30d::double, 0) * 30 / 7 as quiz_attempts_trend,
    quiz_score_sum_7d::double / nullif(quiz_score_count_7d, 0) as quiz_score_7d,
    quiz_score_sum_14d::double / nullif(quiz_score_count_14d, 0) as quiz_score_14d,
    quiz_score_sum_30d::double / nullif(quiz_score_count_30d, 0) as quiz_score_30d,
    quiz_score_7d / nullif(quiz_score_30d, 0) as quiz_score_trend,
    payments_7d::integer as payments_7d,
    payments_14d::integer as payments_14d,
    payments_30d::integer as payments_30d,
    payments_7d::double / nullif(payments_30d::double, 0) * 30 / 7 as payments_trend,
    failed_payments_7d::integer as failed_payments_7d,
    failed_payments_14d::integer as failed_payments_14d,
    failed_payments_30d::integer as failed_payments_30d,
    failed_payments_7d::double / nullif(failed_payments_30d::double, 0) * 30 / 7 as failed_payments_trend,
    support_tickets_7d::integer as support_tickets_7d,
    support_tickets_14d::integer as support_tickets_14d,
    support_tickets_30d::integer as support_tickets_30d,
    support_tickets_7d::double / nullif(support_tickets_30d::double, 0) * 30 / 7 as support_tickets_trend,
    failed_payments_30d::double / nullif(payments_30d + failed_payments_30d, 0)
        as payment_fail_rate_30d
from totals
);

create or replace macro labels() as table (
select
    d.user_id, d.day as as_of_date,
    (l.active_days_total = d.active_days_total)::integer as churn_label
from user_daily as d
inner join user_daily as l on d.user_id = l.user_id and l.day = d.day + 30
);
