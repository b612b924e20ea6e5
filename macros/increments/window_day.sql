{#- A date of build_window, or the date `days_back` earlier, as a literal: engines skip rows by literals,
    not by subqueries. -#}
{% macro window_day(build_window, column, days_back=0) -%}
    {%- set day = none -%}
    {%- if execute and load_relation(build_window) -%}
        {%- set day = run_query('select ' ~ column ~ ' from ' ~ build_window).rows[0][0] -%}
    {%- endif -%}
    {{ return("date '" ~ (day - modules.datetime.timedelta(days=days_back) if day else '1970-01-01') ~ "'") }}
{%- endmacro %}
