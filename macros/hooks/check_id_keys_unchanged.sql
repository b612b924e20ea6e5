{#- Stop if another engine version made event_key: it may hash differently, and ids would not be found. -#}
{% macro check_id_keys_unchanged() %}
    {% if execute and not flags.FULL_REFRESH %}
        {% set checked = adapter.get_relation(target.database, target.schema, 'int_events_validated') %}
        {% if checked and 'event_key' in adapter.get_columns_in_relation(checked) | map(attribute='name') %}
            {% set changed %}
                select 1
                from (select * from {{ checked }} where event_id is not null limit 1) as any_event
                where event_key <> {{ id_key('event_id') }}
            {% endset %}
            {% if run_query(changed).rows | length > 0 %}
                {{ exceptions.raise_compiler_error(
                    'Another version of ' ~ target.type ~ ' made the numbers of event ids. '
                    ~ 'Next: run `churnhouse build --full-refresh`.'
                ) }}
            {% endif %}
        {% endif %}
    {% endif %}
{% endmacro %}
