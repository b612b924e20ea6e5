{#- Whether a day, so many days on, is one that this statement writes. On DuckDB a statement writes a block
    of days, since memory need not hold more; write_other_blocks goes on from there. -#}
{% macro in_block(day, block, days_back=0) -%}
    {{ day }} >= {{ add_days(block.first_day, -days_back) }}
    {%- if target.type == 'duckdb' %}
        and {{ day }} < {{ add_days(block.first_day, block.days - days_back) }}
    {%- endif -%}
{%- endmacro %}
