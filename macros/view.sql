{#- A view takes the place of the one before in one statement; dbt's own way takes four. -#}
{% materialization view, adapter='duckdb' %}
    {% if asks_for_more_than_rows() %}
        {{ return(dbt.materialization_view_default()) }}
    {% endif %}
    {% set before = load_cached_relation(this) %}
    {% set view = this.incorporate(type='view') %}
    {% if before and not before.is_view %}
        {% do adapter.drop_relation(before) %}
    {% endif %}
    {% call statement('main') %}
        create or replace view {{ view }} as ({{ sql }})
    {% endcall %}
    {% do adapter.commit() %}
    {{ return({'relations': [view]}) }}
{% endmaterialization %}
