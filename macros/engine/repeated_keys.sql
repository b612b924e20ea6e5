{#- The keys of a relation that occur more than once or contain a NULL. DuckDB compares neighbours in
    sort order, which is cheaper than grouping; Spark would have to sort everything in one place. -#}
{% macro repeated_keys(relation, columns) -%}
    {{ return(adapter.dispatch('repeated_keys', 'churnhouse')(relation, columns)) }}
{%- endmacro %}

{% macro duckdb__repeated_keys(relation, columns) -%}
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
        {{ columns | join(' is null or ') }} is null
        {%- for column in columns %}
        {{ 'or (' if loop.first else 'and ' }}{{ column }} = {{ column }}_before
        {%- endfor %})
{%- endmacro %}

{% macro spark__repeated_keys(relation, columns) -%}
    select {{ columns | join(', ') }}
    from {{ relation }}
    group by {{ columns | join(', ') }}
    having count(*) > 1 or {{ columns | join(' is null or ') }} is null
{%- endmacro %}
