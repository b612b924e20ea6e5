{% set settings = domain_settings() %}

with

records as (select * from {{ ref('int_user_history') }})

select
    user_id,
    {% for attribute in attribute_columns(settings) -%}
    {{ attribute }},
    {% endfor -%}
    user_signup_date as signup_date,
    case
        when exclude_reason is not null then exclude_reason
    {% for reason, ids in settings.exclude.items() if ids is not string -%}
        when user_id in ({{ text_list(ids) }}) then {{ text_literal(reason) }}
    {% endfor -%}
    end as exclude_reason
from records
where is_current and not is_deleted and user_signup_date is not null
