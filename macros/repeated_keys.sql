{#- Keys of a relation that stand more than once, or have a NULL in them. DuckDB lays equal keys beside each
    other, which costs it a half of grouping them; Spark would have to do that in one place. -#}
{% macro repeated_keys(relation, columns) -%}
    {%- set has_null = columns | join(' is null or ') ~ ' is null' -%}
    {%- if target.type == 'spark' -%}
        select {{ columns | join(', ') }}
        from {{ relation }}
        group by {{ columns | join(', ') }}
        having count(*) > 1 or {{ has_null }}
    {%- else -%}
        select {{ columns | join(', ') }}
        from (
            select
                {% for column in columns -%}
                    {{ column }},
                    lag({{ column }}) over in_order as {{ column }}_before{{ ',' if not loop.last }}
                {% endfor %}
            from {{ relation }}
            window in_order as (order by {{ columns | join(', ') }})
        ) as in_order
        where
            {{ has_null }}
            {%- for column in columns %}
            {{ 'or (' if loop.first else 'and ' }}{{ column }} = {{ column }}_before
            {%- endfor %})
    {%- endif -%}
{%- endmacro %}
