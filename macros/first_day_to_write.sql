{#- The column, of build_window or by user of user_windows, from which a day table is written:
    rewrite_from where the table goes on from an earlier build, data_from where it starts afresh. -#}
{% macro first_day_to_write() -%}
    {{ 'rewrite_from' if is_incremental() else 'data_from' }}
{%- endmacro %}
