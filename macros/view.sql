{#- A view takes the place of the one before in one statement; dbt's own way takes four. -#}
{% materialization view, adapter='duckdb' %}
    {% if asks_for_more_than_rows() %}
        {{ return(dbt.materialization_view_default()) }}
    {% endif %}
    {% set before = load_cached_relation(this) %}
    {% set view = this.incorporate(type='view') %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {% do adapter.ensure_transaction() %}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if config.get('contract').enforced %}
        {% do get_assert_columns_equivalent(sql) %}
    {% endif %}
    {% if before and not before.is_view %}
        {% do adapter.drop_relation(before) %}
    {% endif %}
    {% call statement('main') %}
        create or replace view {{ view }} as (
            {{ sql }}
        )
    {% endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [view]}) }}
{% endmaterialization %}
