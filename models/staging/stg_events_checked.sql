{{ config(
    materialized='incremental',
    unique_key='row_id',
    partition_by=on_spark('event_date'),
    on_schema_change='fail'
) }}
-- depends_on: {{ ref('stg_user_records') }}
{% set settings = domain_settings() %}

with

received as {{ in_place() }} (select * from {{ ref('stg_events_typed') }}),

users as (select * from {{ ref('stg_users') }}),

event_types as (select * from {{ ref('stg_event_types') }}),

{% if is_incremental() %}
written as {{ in_place() }} (select * from {{ this }}),

before as (select max(ingested_at) as ingested_at from written),

news as (

    select * from received
    where ingested_at > (select ingested_at from before)

),

-- users whom earlier rows did not know, or who signed up on another day than was thought
moved_users as (

    select
        user_id,
        min(ingested_at) > (select ingested_at from before) as is_new
    from {{ ref('stg_user_records') }}
    group by user_id
    having {{ signup_moved(settings, '(select ingested_at from before)') }}

),

-- of their rows, those whose verdict may change; rows that share an id are judged together
ids_to_judge as (

    select written.event_id
    from written
    inner join moved_users on written.user_id = moved_users.user_id and moved_users.is_new
    where written.reject_reason = 'unknown_user'
    union
    select written.event_id
    from written
    inner join moved_users on written.user_id = moved_users.user_id and not moved_users.is_new
    where written.event_id is not null

),

earlier as (

    select * from written
    where event_id in (select event_id from ids_to_judge)

),

arrivals as (

    select * from news
    union all
    select * from received
    where
        ingested_at <= (select ingested_at from before)
        and event_id in (select event_id from ids_to_judge)

),

-- rows of before whose id may have come again: two ids may share a key
namesakes as (

    select row_id from written
    where
        event_key in (
            select distinct {{ id_key('news.event_id') }} from news
            where news.event_id is not null
        )

),

-- of each id that has come again, the first accepted row of before
accepted as (

    select
        event_id,
        min(case when reject_reason is null then row_id end) as row_id
    from written
    where
        row_id in (select namesakes.row_id from namesakes)
        and event_id not in (select event_id from ids_to_judge)
    group by event_id

),
{% else %}
arrivals as {{ in_place() }} (select * from received),
{% endif %}

-- of the rows to judge, any other is the only one of its id
ids_of_several_rows as (

    select event_id
    from arrivals
    group by event_id
    having count(*) > 1

),

judged as {{ in_place() }} (

    select
        arrivals.*,
        {{ id_key('arrivals.event_id') }} as event_key,
        event_types.is_activity,
        case
            when arrivals.row_reason is not null then arrivals.row_reason
            when event_types.event_type is null then 'unknown_event_type'
            when users.user_id is null then 'unknown_user'
            when arrivals.event_date < users.signup_date then 'before_signup'
        end as reason
    from arrivals
    left join event_types on arrivals.event_type = event_types.event_type
    left join users on arrivals.user_id = users.user_id

),

good as (

    select
        event_id,
        row_id
    from judged
    where reason is null and event_id in (select event_id from ids_of_several_rows)
    {% if is_incremental() -%}
    union all
    select * from accepted
    {%- endif %}

),

-- of good rows with one id the first counts
first_good as (

    select
        event_id,
        min(row_id) as row_id
    from good
    group by event_id

),

verdicts as (

    select
        judged.row_id,
        judged.file_id,
        judged.event_id,
        judged.event_key,
        judged.user_id,
        judged.event_type,
        {% for column in event_columns(settings) -%}
        judged.{{ column }},
        judged.{{ column }}_received,
        {% endfor -%}
        judged.is_activity,
        judged.event_time,
        judged.event_time_unread,
        judged.event_date,
        judged.ingested_at,
        case
            when judged.reason is not null then judged.reason
            when judged.row_id <> first_good.row_id then 'duplicate_event_id'
        end as reject_reason
    from judged
    left join first_good on judged.event_id = first_good.event_id

)

select /*+ rebalance(event_date) */
    verdicts.*,
    -- the day whose numbers this row changes or, refused by now, once changed
    case
        when verdicts.reject_reason is null then verdicts.event_date
        {% if is_incremental() -%}
        when earlier.touches_date is not null then verdicts.event_date
        {%- endif %}
    end as touches_date,
    (select max(files.ingested_at) from {{ source('raw', 'files') }} as files) as written_at
from verdicts
{% if is_incremental() -%}
left join earlier on verdicts.row_id = earlier.row_id
where earlier.row_id is null or verdicts.reject_reason is distinct from earlier.reject_reason
{%- endif %}
