{#- Drop the days of a day table that the data no longer reaches, named by literals, by which DuckDB finds that
    there are none without reading them; on Spark a day is a partition. -#}
{% macro keep_within_build_window(day, last_day='data_through') -%}
    {%- set window = none -%}
    {%- if execute -%}
        {%- set window = run_query(
            'select cast(data_from as string), cast(' ~ last_day ~ ' as string) from '
            ~ ref('build_window')
        ).rows[0] -%}
    {%- endif -%}
    {%- if window and window[0] and target.type != 'spark' -%}
        delete from {{ this }}
        where {{ day }} < date '{{ window[0] }}' or {{ day }} > date '{{ window[1] }}'
    {%- elif window and window[0] -%}
        {%- set outside = [] -%}
        {%- for row in run_query('show partitions ' ~ this).rows -%}
            {%- set value = row[0].split('=')[1] -%}
            {%- if value < window[0] or value > window[1] -%}
                {% do outside.append("partition (" ~ day ~ " = date '" ~ value ~ "')") %}
            {%- endif -%}
        {%- endfor -%}
        {%- if outside %}alter table {{ this }} drop if exists {{ outside | join(', ') }}{% endif -%}
    {%- endif -%}
{%- endmacro %}
