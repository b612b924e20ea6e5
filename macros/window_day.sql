{#- A date of build_window as a literal, by which engines skip what they need not read. -#}
{% macro window_day(build_window, column) -%}
    {%- set day = none -%}
    {%- if execute and load_relation(build_window) -%}
        {%- set day = run_query('select ' ~ column ~ ' from ' ~ build_window).rows[0][0] -%}
    {%- endif -%}
    {{ return("date '" ~ (day or '1970-01-01') ~ "'") }}
{%- endmacro %}
