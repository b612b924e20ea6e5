{#- Whether the engine can only write a day anew for all users: on Spark a day is a folder of files. -#}
{% macro writes_whole_days() -%}
    {{ return(target.type == 'spark') }}
{%- endmacro %}
