{#- The table build_window. Not a ref(): day tables depend on it by way of user_windows. -#}
{% macro build_window() -%}
    {{ return(this.incorporate(path={'identifier': 'build_window'}, type='table')) }}
{%- endmacro %}
