{% set has_identities = domain_settings().has_identities %}
{% set person = 'received.user_id' %}
{% set person = 'coalesce(identities.user_id, ' ~ person ~ ')' if has_identities else person %}

with

{% if has_identities -%}
identities as (select * from {{ source('raw', 'identity_map') }}),

{% endif -%}
received as (select * from {{ ref('stg_raw__treatments') }}),

users as (select * from {{ ref('accepted_users') }}),

-- also by a row that is rejected, for example since the server's clock ran ahead
taken_back as (

    select distinct withdraws as contact_key
    from received
    where withdraws is not null

)

select
    users.user_id,
    received.treated_at,
    received.treated_on,
    received.action,
    received.campaign,
    received.channel,
    received.outcome,
    received.note,
    received.contacted_by,
    received.owner,
    received.snoozed_until
from received
left join taken_back on received.contact_key = taken_back.contact_key
{% if has_identities -%}
left join identities
    on
        received.user_id = identities.from_id
        and received.treated_at >= identities.valid_from
        and received.treated_at < identities.valid_to
{% endif -%}
inner join users on {{ person }} = users.user_id
where
    received.reject_reason is null
    and received.withdraws is null
    and taken_back.contact_key is null
