{#- The ids of seeds/placeholder_ids.csv as SQL literals, and null, which a seed cannot hold. A join would
    have to read every row. -#}
{% macro placeholder_ids() -%}
    {%- set ids = ['null'] -%}
    {%- if execute and load_relation(ref('placeholder_ids')) -%}
        {% do ids.extend(run_query('select placeholder_id from ' ~ ref('placeholder_ids')).columns[0].values()) %}
    {%- endif -%}
    {{ text_list(ids) }}
{%- endmacro %}
