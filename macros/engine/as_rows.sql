{#- The columns of a relation as rows: feature (the column's name), value, and the key columns. -#}
{% macro as_rows(relation, columns, type, keys) -%}
    {{ return(adapter.dispatch('as_rows', 'churnhouse')(relation, columns, type, keys)) }}
{%- endmacro %}

{% macro duckdb__as_rows(relation, columns, type, keys) -%}
    {% for column in columns -%}
        select
            '{{ column }}' as feature,
            cast({{ adapter.quote(column) }} as {{ type }}) as value,
            {{ keys | join(', ') }}
        from {{ relation }}
        union all
    {% endfor -%}
    {{ as_no_rows(relation, type, keys) }}
{%- endmacro %}

{% macro spark__as_rows(relation, columns, type, keys) -%}
    {%- set pairs = [] -%}
    {%- for column in columns -%}
        {% do pairs.append("'" ~ column ~ "', cast(" ~ adapter.quote(column) ~ ' as ' ~ type ~ ')') %}
    {%- endfor -%}
    {%- if pairs -%}
        select
            stack({{ columns | length }}, {{ pairs | join(', ') }}) as (feature, value),
            {{ keys | join(', ') }}
        from {{ relation }}
    {%- else -%}
        {{ as_no_rows(relation, type, keys) }}
    {%- endif -%}
{%- endmacro %}

{% macro as_no_rows(relation, type, keys) -%}
    select
        cast(null as string) as feature,
        cast(null as {{ type }}) as value,
        {{ keys | join(', ') }}
    from {{ relation }}
    where false
{%- endmacro %}
