{#- SQL of the users of whom something arrived since a moment, and who are new since then, or whose signup
    may have moved, or who may count no more or again: user_id, is_new and changed_from. -#}
{% macro moved_users(since) -%}
    {%- set settings = domain_settings() -%}
    {%- set derived = settings.users_from_events %}
    select
        user_id,
        min(known_at) > {{ since }} as is_new,
        min(changed_from) as changed_from
    from (
        select
            user_id,
            ingested_at as known_at,
            {{ 'cast(null as date)' if derived else 'signup_date' }} as starts_on,
            least(signup_date, valid_from) as changed_from,
            case when is_deleted or exclude_reason is not null then 1 else 0 end as is_out
        from {{ ref('int_user_history') }}
        {% if derived or settings.has_identities -%}
        union all
        select
            user_id,
            ingested_at as known_at,
            first_date as starts_on,
            first_date as changed_from,
            0 as is_out
        from {{ ref('int_first_seen') }}
        {{ '' if derived else 'where user_id <> received_user_id' }}
        {%- endif %}
    ) as signs
    group by user_id
    having
        max(known_at) > {{ since }}
        and (
            min(known_at) > {{ since }}
            or max(is_out) = 1
            {% if derived -%}
            or min(starts_on) < min(case when known_at <= {{ since }} then starts_on end)
            {%- else -%}
            or count(distinct starts_on) > 1
            {%- endif %}
        )
{%- endmacro %}
