{#- Keep what the yml says of tables (column_name null) and columns, for the comments of the published file. Entries
    without a table_name hold for every column of that name that its own table does not describe. -#}
{% macro keep_descriptions() %}
    {% if execute %}
        {% set entries = shared_descriptions() %}
        {% set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | list %}
        {% set named = models | map(attribute='name') | list %}
        {% set jobs = graph.sources.values() | selectattr('source_name', 'equalto', 'ml') %}
        {% for node in models + (jobs | rejectattr('name', 'in', named) | list) %}
            {% do entries.append([node.name, none, node.description]) %}
            {% for column in node.columns.values() if column.description %}
                {% do entries.append([node.name, column.name, column.description]) %}
            {% endfor %}
        {% endfor %}
        {% call statement('drop_descriptions', auto_begin=True) %}
            drop table if exists ml.descriptions
        {% endcall %}
        {# one text: hundreds of literals would take dbt a second #}
        {% call statement('keep_descriptions') %}
            create table ml.descriptions as select {{ text_literal(tojson(entries)) }} as entries
        {% endcall %}
        {% do commit_now() %}
    {% endif %}
{% endmacro %}

{#- Descriptions of columns that several tables have: those of predictions and features, and the domain's own. -#}
{% macro shared_descriptions() %}
    {% set settings = domain_settings() %}
    {% set described = {} %}
    {% for attribute in settings.attributes %}
        {% do described.update({attribute: 'Attribute of the user, from the domain.'}) %}
    {% endfor %}
    {% for column in additive_columns(settings.measures) %}
        {% do described.update({
            column.name: column.description ~ ' on the day.',
            column.name ~ '_total': column.description ~ ' since the first day of data.',
        }) %}
    {% endfor %}
    {% for feature in feature_columns(settings) %}
        {% do described.update({feature.name: feature.description}) %}
    {% endfor %}
    {% for model in ['user_features_daily', 'churn_predictions'] %}
        {% for column in graph.nodes['model.churnhouse.' ~ model].columns.values() %}
            {% do described.update({column.name: column.description}) %}
        {% endfor %}
    {% endfor %}
    {% set entries = [] %}
    {% for name, description in described.items() %}{% do entries.append([none, name, description]) %}{% endfor %}
    {{ return(entries) }}
{% endmacro %}
