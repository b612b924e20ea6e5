{#- A table takes the place of the one before in one statement; dbt's own way, made for every database, takes seven: of
    the 4 CPU seconds that a small build is dbt's, 0.6. A Python model writes a table of its own, so it does so beside
    first. -#}
{% materialization table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {% if model.language == 'sql' and asks_for_more_than_rows() %}
        {{ return(dbt.materialization_table_duckdb()) }}
    {% endif %}
    {% set before = load_cached_relation(this) %}
    {% set table = this.incorporate(type='table') %}
    {% set statement_of_rows = compiled_code %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {% if model.language == 'python' %}
        {% set beside = make_intermediate_relation(table) %}
        {% do drop_relation_if_exists(load_cached_relation(beside)) %}
        {% call statement('beside', language='python') %}
            {{- create_table_as(False, beside, compiled_code, 'python') -}}
        {% endcall %}
        {% set statement_of_rows = 'from ' ~ beside %}
    {% endif %}
    {% do adapter.ensure_transaction() %}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% if config.get('contract').enforced %}
        {% do get_assert_columns_equivalent(statement_of_rows) %}
        {% set statement_of_rows = get_select_subquery(statement_of_rows) %}
    {% endif %}
    {% if before and not before.is_table %}
        {% do adapter.drop_relation(before) %}
    {% endif %}
    {% call statement('main') %}
        create or replace table {{ table }} as (
            {{ statement_of_rows }}
        )
    {% endcall %}
    {% if beside %}{% do adapter.drop_relation(beside) %}{% endif %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [table]}) }}
{% endmaterialization %}
