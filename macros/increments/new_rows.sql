{#- A relation as tests read it: a build tests the rows it wrote, since earlier ones passed their own
    build. `dbt test`, a first build, a full refresh and the build after a failed one test all rows. -#}
{% macro new_rows(relation) -%}
    {%- set name = relation.identifier -%}
    {%- set column = {
        'stg_raw__events': 'ingested_at',
        'int_events_validated': 'written_at',
        'accepted_events': 'written_at',
        'rejected_events': 'ingested_at',
        'user_daily': 'day',
        'sampled_features': 'as_of_date',
        'churn_labels': 'as_of_date',
        'evaluation_set': 'as_of_date',
        'training_set': 'as_of_date',
        'scored_features': 'as_of_date',
    }.get(name) -%}
    {%- if column is none or not only_new_rows() -%}
        {{ relation }}
    {%- elif column in ('ingested_at', 'written_at') -%}
        (select * from {{ relation }} where {{ column }} > {{ last_build('ingested_through') }}) as new_rows
    {%- else -%}
        {%- set is_labelled = name in ('churn_labels', 'evaluation_set', 'training_set') -%}
        {%- set days_back = domain_settings().churn_horizon_days if is_labelled else 0 -%}
        {%- set window = relation.incorporate(path={'identifier': 'build_window'}) -%}
        {%- set first_day = add_days(window_day(window, 'rewrite_from'), -days_back) -%}
        (select * from {{ relation }} where {{ column }} >= {{ first_day }}) as new_rows
    {%- endif -%}
{%- endmacro %}
