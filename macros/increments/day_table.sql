{#- A day table has one row per user and day. A build replaces each user's rows from
    user_windows.rewrite_from on and drops days that the data no longer covers, in one transaction.

    config: `day` is the column with the day. `looks_ahead` names the setting with the number of days
    that a row looks ahead. `starts_as` is SQL of the empty table, for a model that reads itself. `sort`
    writes rows in day order. `sampled` means that there are rows for sampled days only. -#}
{% materialization day_table, adapter='duckdb' %}
    {% set table = this.incorporate(type='table') %}
    {% set day = config.require('day') %}
    {% set existing = load_cached_relation(this) %}
    {% set is_new = existing is none or not existing.is_table or should_full_refresh() %}
    {% if not is_new and config.get('starts_as') %}
        {% set is_new = run_query('select 1 from ' ~ existing ~ ' limit 1').rows | length == 0 %}
    {% endif %}
    {% set days = days_to_write(day) %}
    {#- a build before the first that ends knows no changed users, so nothing of an earlier one may stay -#}
    {% set is_new = is_new or days.is_for_all %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if is_new %}
        {% if existing and not existing.is_table %}{% do adapter.drop_relation(existing) %}{% endif %}
        {% call statement('create') %}
            create or replace table {{ table }} as
            select * from ({{ render(config.get('starts_as', '')) or sql }}) limit 0
        {% endcall %}
    {% endif %}
    {% do check_day_table(table, is_new, days) %}
    {% if not is_new and days.first_day %}
        {% call statement('delete') %}
            delete from {{ table }} as written
            using {{ ref('user_windows') }} as users
            where
                written.{{ day }} >= date '{{ days.first_day }}'
                and written.user_id = users.user_id
                and written.{{ day }} >= {{ add_days('users.rewrite_from', -days_ahead()) }}
        {% endcall %}
    {% endif %}

    {% for start, end in day_blocks(days.first_day, days.last_day) %}
        {% do run_query("set variable block_start = date '" ~ start ~ "'") %}
        {% do run_query("set variable block_end = date '" ~ end ~ "'") %}
        {#- DuckDB 2.0 overlooks rows that the same transaction inserted into an empty table, so the first
            block is the table -#}
        {% set start_of_statement = 'insert into ' ~ table ~ ' by name' %}
        {% if is_new and loop.first %}
            {% set start_of_statement = 'create or replace table ' ~ table ~ ' as' %}
        {% endif %}
        {% call statement('write') %}
            {{ start_of_statement }}
            select * from ({{ sql }}) {{ 'order by ' ~ day if config.get('sort') }}
        {% endcall %}
    {% endfor %}

    {% call statement('main') %}delete from {{ table }} where {{ days.outside }}{% endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [table]}) }}
{% endmaterialization %}

{#- On Spark a day is a folder: one statement rewrites all changed days, for all users. -#}
{% materialization day_table, adapter='spark' %}
    {% set table = this.incorporate(type='table') %}
    {% set day = config.require('day') %}
    {% set existing = load_cached_relation(this) %}
    {% set is_new = existing is none or should_full_refresh() %}
    {% set days = days_to_write(day) %}
    {{ run_hooks(pre_hooks) }}

    {% if is_new %}
        {% if existing %}{% do adapter.drop_relation(existing) %}{% endif %}
        {% call statement('create') %}
            create table {{ table }} using parquet partitioned by ({{ day }}) as
            select * from ({{ render(config.get('starts_as', '')) or sql }}) where false
        {% endcall %}
    {% endif %}
    {% do check_day_table(table, is_new, days) %}
    {% set columns = adapter.get_columns_in_relation(table) | map(attribute='quoted') | join(', ') %}
    {% call statement('main') %}
        insert overwrite table {{ table }} partition ({{ day }})
        select /*+ rebalance({{ day }}) */ {{ columns }} from ({{ sql }})
    {% endcall %}

    {% for row in run_query('select distinct ' ~ day ~ ' from ' ~ table ~ ' where ' ~ days.outside).rows %}
        {% do run_query('alter table ' ~ table ~ ' drop partition (' ~ day ~ " = date '" ~ row[0] ~ "')") %}
    {% endfor %}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [table]}) }}
{% endmaterialization %}

{#- Stop if this build writes only a part and the other days are missing or have other columns. -#}
{% macro check_day_table(table, is_new, days) %}
    {% if config.get('contract').enforced %}{% do get_assert_columns_equivalent(sql) %}{% endif %}
    {% set what = none %}
    {% if is_new and not days.is_whole %}
        {% set what = 'is new, and this build only writes days from ' ~ days.first_day ~ ' on' %}
    {% elif not is_new %}
        {% set columns = adapter.get_columns_in_relation(table) | map(attribute='name') | sort %}
        {% set what = 'has other columns than when it was built' if columns != get_columns_in_query(sql) | sort %}
    {% endif %}
    {% if what %}
        {{ exceptions.raise_compiler_error(
            'The table ' ~ this.identifier ~ ' ' ~ what ~ '. Next: run `churnhouse build --full-refresh`.'
        ) }}
    {% endif %}
{% endmacro %}
