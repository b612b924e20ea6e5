{#- The first block of days that this build writes of a day table, and the only one if they are few: its first day,
    a literal that bears a mark for write_other_blocks, and how many days it has. -#}
{% macro first_block() -%}
    {%- set build_window = ref('build_window') -%}
    {%- set days = days_in_block() -%}
    {%- if execute and load_relation(build_window) -%}
        {%- set columns = first_day_to_write() ~ ', data_through' -%}
        {%- set window = run_query('select ' ~ columns ~ ' from ' ~ build_window).rows[0] -%}
        {%- if window[0] -%}
            {%- set first_day = window[0] -%}
            {%- set days = [days, (window[1] - first_day).days + 1] | min -%}
        {%- endif -%}
    {%- endif -%}
    {{ return({'first_day': "date '" ~ (first_day or '1970-01-01') ~ "' /* first day */", 'days': days}) }}
{%- endmacro %}
