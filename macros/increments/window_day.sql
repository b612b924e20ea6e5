{#- A date of build_window as a literal, or so many days earlier; engines skip by a literal what they need not
    read. -#}
{% macro window_day(build_window, column, days_back=0) -%}
    {%- set day = none -%}
    {%- if execute and load_relation(build_window) -%}
        {%- set day = run_query('select ' ~ column ~ ' from ' ~ build_window).rows[0][0] -%}
    {%- endif -%}
    {{ return("date '" ~ (day - modules.datetime.timedelta(days=days_back) if day else '1970-01-01') ~ "'") }}
{%- endmacro %}
