{{ config(
    materialized='incremental',
    unique_key='row_id',
    partition_by='event_date',
    on_schema_change='fail'
) }}
{{ check_selected_too('int_events_to_validate') }}
{% set settings = domain_settings() %}

with

judged as {{ in_place() if not is_incremental() }} (select * from {{ ref('int_events_to_validate') }}),

files as (select * from {{ source('raw', 'files') }}),

{% if is_incremental() -%}
written as {{ in_place() }} (select * from {{ this }}),

-- earlier verdicts of rows that are validated again
earlier as (

    select * from written
    where
        row_id in (
            select judged.row_id from judged
            where not judged.is_new_row
        )

),

-- earlier rows whose id may have arrived again; two ids may share a key
namesakes as (

    select row_id from written
    where
        event_key in (
            select distinct judged.event_key from judged
            where judged.is_new_row and judged.event_id is not null
        )

),

-- for each id that arrived again, the earlier accepted row
accepted_ids as (

    select min(case when reject_reason is null then row_id end) as accepted_row_id
    from written
    where
        row_id in (select namesakes.row_id from namesakes)
        and event_id not in (select earlier.event_id from earlier)
    group by event_id

),

accepted as (

    select
        event_id,
        row_id,
        version,
        false as is_deleted,
        {{ content_key(settings) }} as content
    from written
    inner join accepted_ids on written.row_id = accepted_ids.accepted_row_id

),

{% endif -%}
-- ids that occur once cannot be duplicates; skip them
ids_of_several_rows as (

    select event_id
    from {{ 'judged' if is_incremental() else ref('stg_raw__events') }}
    group by event_id
    having count(*) > 1

),

valid_rows as (

    select
        event_id,
        row_id,
        version,
        is_deleted,
        {{ content_key(settings) }} as content
    from judged
    where reason is null and event_id in (select event_id from ids_of_several_rows)
    {% if is_incremental() -%}
    union all
    select * from accepted
    {%- endif %}

),

in_order as (

    select
        *,
        -- a deletion without a version comes after every version
        row_number() over (
            partition by event_id
            order by coalesce(version, case when is_deleted then 1e300 else -1e300 end) desc, row_id
        ) as place
    from valid_rows

),

-- the newest version of an id counts, and of rows that say the same the first
newest as (

    select
        newest.event_id,
        newest.version,
        newest.content,
        newest.is_deleted,
        min(valid_rows.row_id) as row_id
    from in_order as newest
    inner join valid_rows
        on
            newest.event_id = valid_rows.event_id
            and newest.content is not distinct from valid_rows.content
            and newest.version is not distinct from valid_rows.version
            and newest.is_deleted = valid_rows.is_deleted
    where newest.place = 1
    group by newest.event_id, newest.version, newest.content, newest.is_deleted

),

verdicts as (

    select
        judged.*,
        case
            when judged.reason is not null then judged.reason
            when judged.is_deleted then 'deletion'
            when newest.event_id is null or judged.row_id = newest.row_id then null
            when newest.is_deleted then 'deleted_event'
            when coalesce(judged.version, -1e300) < coalesce(newest.version, -1e300)
                then 'superseded_event'
            when {{ content_key(settings) }} = newest.content then 'repeated_event'
            else 'duplicate_event_id'
        end as reject_reason
    from judged
    left join newest on judged.event_id = newest.event_id

)

select /*+ rebalance(event_date) */
    verdicts.row_id,
    verdicts.file_id,
    verdicts.event_id,
    verdicts.event_key,
    verdicts.user_id,
    {% if settings.has_identities %}verdicts.received_user_id,{% endif %}
    verdicts.event_type,
    {% for column in event_columns(settings) -%}
    verdicts.{{ column.name }},
    verdicts.{{ column.received }},
    {% endfor -%}
    verdicts.is_activity,
    verdicts.event_time,
    verdicts.event_time_unread,
    verdicts.event_date,
    verdicts.version,
    verdicts.ingested_at,
    verdicts.reject_reason,
    -- the day whose numbers this row changes, or changed before it was rejected
    case
        when verdicts.reject_reason is null then verdicts.event_date
        {% if is_incremental() -%}
        when earlier.touches_date is not null then verdicts.event_date
        {%- endif %}
    end as touches_date,
    (select max(files.ingested_at) from files) as written_at
from verdicts
{% if is_incremental() -%}
left join earlier on verdicts.row_id = earlier.row_id
where
    earlier.row_id is null
    or verdicts.reject_reason is distinct from earlier.reject_reason
    {{ 'or verdicts.user_id is distinct from earlier.user_id' if settings.has_identities }}
{%- endif %}
