{#- The day from which a user's rows are rewritten, from the CTEs changed_users and build_window. On
    Spark a day is a folder of files, rewritten for all users. -#}
{% macro rewritten_from() %}{{ return(adapter.dispatch('rewritten_from', 'churnhouse')()) }}{% endmacro %}

{% macro duckdb__rewritten_from() %}changed_users.changed_from{% endmacro %}

{% macro spark__rewritten_from() %}build_window.rewrite_from{% endmacro %}
