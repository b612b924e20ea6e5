{#- The first day that this build writes of a day table, as a literal, by which engines skip what they need
    not read. -#}
{% macro first_day_of_block() -%}
    {%- set build_window = ref('build_window') -%}
    {%- set day = none -%}
    {%- if execute and load_relation(build_window) -%}
        {%- set day = run_query('select ' ~ first_day_to_write() ~ ' from ' ~ build_window).rows[0][0] -%}
    {%- endif -%}
    {{ return("date '" ~ (day or '1970-01-01') ~ "' /* first day */") }}
{%- endmacro %}
