{#- Columns of a relation as rows: feature (the column's name), its value, and the key columns. -#}
{% macro as_rows(relation, columns, type, keys) -%}
    {%- if target.type == 'spark' and columns -%}
        {%- set pairs = [] -%}
        {%- for column in columns -%}
            {% do pairs.append("'" ~ column ~ "', cast(" ~ column ~ ' as ' ~ type ~ ')') %}
        {%- endfor -%}
        select
            stack({{ columns | length }}, {{ pairs | join(', ') }}) as (feature, value),
            {{ keys | join(', ') }}
        from {{ relation }}
    {%- else -%}
        {% for column in columns -%}
            select
                '{{ column }}' as feature,
                cast({{ column }} as {{ type }}) as value,
                {{ keys | join(', ') }}
            from {{ relation }}
            union all
        {% endfor -%}
        select
            cast(null as string) as feature,
            cast(null as {{ type }}) as value,
            {{ keys | join(', ') }}
        from {{ relation }}
        where false
    {%- endif -%}
{%- endmacro %}
