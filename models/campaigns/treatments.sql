{{ config(materialized='view') }}
{% set has_identities = domain_settings().has_identities %}
{% set person = 'contacts.user_id' %}
{% set person = 'coalesce(identities.user_id, ' ~ person ~ ')' if has_identities else person %}

with

{% if has_identities -%}
identities as (select * from {{ source('raw', 'identity_map') }}),

{% endif -%}
contacts as (
    select *
    from {{ ref('stg_raw__treatments') }}
    where user_id is not null and treated_at is not null
)

select
    {{ person }} as user_id,
    contacts.campaign,
    min(contacts.treated_on) as treated_on,
    max(contacts.treated_on) as last_treated_on,
    {{ in_holdout(person) }} as is_in_holdout
from contacts
{% if has_identities -%}
left join identities
    on
        contacts.user_id = identities.from_id
        and contacts.treated_at >= identities.valid_from
        and contacts.treated_at < identities.valid_to
{% endif -%}
group by {{ person }}, contacts.campaign
