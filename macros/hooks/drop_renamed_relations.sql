{#- Drop the tables that version 0.1 built under other names: they hold rows of persons that nothing would
    update or forget. -#}
{% macro drop_renamed_relations() %}
    {% if execute %}
        {% for name in [
            'stg_events', 'stg_events_rejected', 'stg_events_judged', 'stg_events_checked', 'stg_events_typed',
            'stg_users', 'stg_users_rejected', 'stg_user_records', 'stg_users_checked', 'stg_event_types',
            'stg_treatments', 'build_marks'
        ] %}
            {% set relation = adapter.get_relation(target.database, target.schema, name) %}
            {% if relation %}{% do adapter.drop_relation(relation) %}{% endif %}
        {% endfor %}
        {% do commit_now() %}
    {% endif %}
{% endmacro %}
