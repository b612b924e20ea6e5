{#- The hook of a day table that repeats its statement for each block of days after the first. The first
    day is read from the statement: by now the table exists, and first_day_to_write would say another. -#}
{% macro write_other_blocks(day) -%}
    {%- if execute and target.type == 'duckdb' -%}
        {%- set first_day = modules.re.search("date '[0-9-]+' /\\* first day \\*/", compiled_code).group() -%}
        {%- set days = 'select data_through - ' ~ first_day ~ ' from ' ~ ref('build_window') -%}
        {%- set step = days_in_block() -%}
        {%- for later in range(step, (run_query(days).rows[0][0] or 0) + 1, step) -%}
            {%- set block = add_days(first_day, later) -%}
            {% do run_query(
                'delete from ' ~ this ~ ' where ' ~ in_block(day, block) ~ ';'
                ~ 'insert into ' ~ this ~ ' by name (' ~ compiled_code | replace(first_day, block) ~ ')'
            ) %}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
