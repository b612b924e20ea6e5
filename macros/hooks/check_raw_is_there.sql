{#- Stop with one clear line if nothing was ingested yet. -#}
{% macro check_raw_is_there() %}
    {% if execute and not load_relation(source('raw', 'events')) %}
        {{ exceptions.raise_compiler_error(
            'There are no raw tables in this warehouse. Next: run `churnhouse ingest`.'
        ) }}
    {% endif %}
{% endmacro %}
