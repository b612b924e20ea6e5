{#- The hook of a day table that makes room for what this build writes: the days of each user from
    rewrite_from on, or so many before. The literal lets DuckDB skip all earlier days. -#}
{% macro delete_rows_to_write(day, days_back=0) -%}
    {%- if is_incremental() and not writes_whole_days() -%}
        delete from {{ this }} as written
        using {{ ref('user_windows') }} as users
        where
            written.{{ day }} >= {{ add_days(first_block().first_day, -days_back) }}
            and written.user_id = users.user_id
            and written.{{ day }} >= {{ add_days('users.rewrite_from', -days_back) }}
    {%- endif -%}
{%- endmacro %}
