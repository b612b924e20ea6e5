{#- Keep what the yml says of each table (column_name NULL) and column, for the comments of the published file.
    Rows without a table_name hold for every column of that name that its own table does not describe. -#}
{% macro keep_descriptions() %}
    {% if execute %}
        {% set rows = shared_descriptions() %}
        {% set nodes = graph.sources.values() | selectattr('source_name', 'equalto', 'ml') | list %}
        {% set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | list %}
        {% set named = models | map(attribute='name') | list %}
        {% for node in models + (nodes | rejectattr('name', 'in', named) | list) %}
            {% do rows.append((node.name, none, node.description)) %}
            {% for column in node.columns.values() %}
                {% do rows.append((node.name, column.name, column.description)) %}
            {% endfor %}
        {% endfor %}
        {% call statement('drop_descriptions', auto_begin=True) %}
            drop table if exists ml.descriptions
        {% endcall %}
        {% call statement('keep_descriptions') %}
            create table ml.descriptions as
            select table_name, column_name, description
            from (
                values
                {% for table, column, description in rows if description | trim -%}
                (
                    {{ "'" ~ table ~ "'" if table else 'cast(null as string)' }},
                    {{ "'" ~ column ~ "'" if column else 'cast(null as string)' }},
                    {{ text_literal(description.split() | join(' ')) }}
                ){{ ',' if not loop.last }}
                {% endfor %}
            ) as described (table_name, column_name, description)
        {% endcall %}
        {% do commit_now() %}
    {% endif %}
{% endmacro %}

{#- Descriptions of columns that several tables have: those of predictions and features, and the domain's own. -#}
{% macro shared_descriptions() %}
    {% set settings = domain_settings() %}
    {% set descriptions = {} %}
    {% for attribute in settings.attributes %}
        {% do descriptions.update({attribute: 'Attribute of the user, from the domain.'}) %}
    {% endfor %}
    {% for column in additive_columns(settings.measures) %}
        {% do descriptions.update({
            column.name: column.description ~ ' on the day.',
            column.name ~ '_total': column.description ~ ' since the first day of data.',
        }) %}
    {% endfor %}
    {% for feature in feature_columns(settings) %}
        {% do descriptions.update({feature.name: feature.description}) %}
    {% endfor %}
    {% for model in ['user_features_daily', 'churn_predictions'] %}
        {% for column in graph.nodes['model.churnhouse.' ~ model].columns.values() %}
            {% do descriptions.update({column.name: column.description}) %}
        {% endfor %}
    {% endfor %}
    {% set rows = [] %}
    {% for name, description in descriptions.items() %}{% do rows.append((none, name, description)) %}{% endfor %}
    {{ return(rows) }}
{% endmacro %}
