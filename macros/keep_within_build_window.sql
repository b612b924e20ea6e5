{#- Drop the days of a day table that the data no longer reaches. -#}
{% macro keep_within_build_window(day, last_day='data_through') -%}
    delete from {{ this }}
    where
        {{ day }} < (select data_from from {{ ref('build_window') }})
        or {{ day }} > (select {{ last_day }} from {{ ref('build_window') }})
{%- endmacro %}
