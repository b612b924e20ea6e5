{#- A number for an id, by which ids are searched for among all earlier ones: a fifth of a text's cost. Two
    ids may share one. Four bytes on DuckDB, where they halve what is read; at Spark's sizes too many ids would
    share them, so eight. -#}
{% macro id_key(column) -%}
    {%- if target.type == 'spark' -%}
        xxhash64({{ column }})
    {%- else -%}
        cast(hash({{ column }}) >> 32 as uinteger)
    {%- endif -%}
{%- endmacro %}
