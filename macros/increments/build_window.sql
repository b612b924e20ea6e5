{#- The table build_window. Not a ref(), since day tables depend on it through user_windows. -#}
{% macro build_window() -%}
    {{ return(this.incorporate(path={'identifier': 'build_window'}, type='table')) }}
{%- endmacro %}
