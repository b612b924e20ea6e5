{{ config(materialized='view') }}
{% set settings = domain_settings() %}

with

raw_users as (select * from {{ source('raw', 'users') }})

select
    row_id,
    file_id,
    cast(user_id as string) as user_id,
    {% for attribute in attribute_columns(settings) -%}
    cast({{ attribute }} as string) as {{ attribute }},
    {% endfor -%}
    signup_date,
    signup_date_unread,
    coalesce(updated_at_unread, version_unread, is_deleted_unread) as updated_at_unread,
    coalesce(updated_at, ingested_at) as changed_at,
    {{ local_date('coalesce(updated_at, ingested_at)') }} as changed_on,
    version,
    coalesce(is_deleted, false) as is_deleted,
    reject_reason as domain_reason,
    -- the first condition of `exclude` that holds; its lists of ids are in int_users
    cast(
        case
        {% for reason, condition in settings.exclude.items() if condition is string -%}
            when ({{ condition }}) then {{ text_literal(reason) }}
        {% endfor -%}
            when false then ''
        end as string
    ) as exclude_reason,
    ingested_at
from raw_users
