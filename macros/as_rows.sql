{#- Columns of a relation as rows: feature (the column's name), its value, and the key columns. -#}
{% macro as_rows(relation, columns, type, keys) -%}
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
{%- endmacro %}
