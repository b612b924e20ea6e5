{#- The first day that this build writes of a day table; the mark is for write_other_blocks. -#}
{% macro first_day_of_block() -%}
    {{ return(window_day(ref('build_window'), first_day_to_write()) ~ ' /* first day */') }}
{%- endmacro %}
