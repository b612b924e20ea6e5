{#- Each user's row of user_daily of the day before the first to write, in a block of days; none where the
    table only begins. -#}
{% macro carried_totals(block, goes_on) -%}
    {%- if goes_on -%}
        select before.*
        from {{ this }} as before
        inner join users
            on
                before.user_id = users.user_id
                and before.day >= users.data_from
                and before.day = {{ add_days('users.first_day', -1) }}
        where {{ in_block('before.day', block, 1) }}
    {%- else -%}
        select
            user_id,
            {% for column in additive_columns(domain_settings().measures) -%}
                0 as {{ column.name }}_total,
            {% endfor -%}
            0 as active_days_total,
            cast(null as date) as last_active_on
        from users
        where false
    {%- endif -%}
{%- endmacro %}
