{#- The hook of a day table that repeats its statement for each block of days after the first. The first
    day is read from the statement: by now the table exists, and first_block would say another.
    `carried` is the macro, if any, by which the statement carries on from the day before its block. -#}
{% macro write_other_blocks(carried=none) -%}
    {%- if execute and not writes_whole_days() -%}
        {%- set first_day = modules.re.search("date '[0-9-]+' /\\* first day \\*/", compiled_code).group() -%}
        {%- set step = days_in_block() -%}
        {%- set block = {'first_day': first_day, 'days': step} -%}
        {%- set statement = compiled_code -%}
        {%- if carried -%}
            {%- set statement = statement | replace(carried(block, false), carried(block, true)) -%}
        {%- endif -%}
        {#- without an accepted event there is no first day -#}
        {%- set last = 'select max(data_through - ' ~ first_day ~ ') from ' ~ ref('build_window')
            ~ ' where data_from is not null' -%}
        {%- for later in range(step, (run_query(last).rows[0][0] or 0) + 1, step) -%}
            {% do run_query(
                'insert into ' ~ this ~ ' by name ('
                ~ statement | replace(first_day, add_days(first_day, later)) ~ ')'
            ) %}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
