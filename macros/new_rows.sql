{#- A relation as the gates of a build read it: the rows that this build wrote, for earlier ones passed
    the gates of theirs. `dbt test` alone, a first build, a full refresh and the build after one in which
    anything failed look at all rows. -#}
{% macro new_rows(relation) -%}
    {%- set window = relation.incorporate(path={'identifier': 'build_window'}) -%}
    {%- set horizon = domain_settings().churn_horizon_days -%}
    {%- set labelled_anew =
        'as_of_date >= (select ' ~ add_days('rewrite_from', -horizon) ~ ' from ' ~ window ~ ')' -%}
    {%- set conditions = {
        'stg_events_typed': 'ingested_at > ' ~ last_build('ingested_through'),
        'stg_events_checked': 'written_at > ' ~ last_build('ingested_through'),
        'stg_events': 'written_at > ' ~ last_build('ingested_through'),
        'stg_events_rejected': 'ingested_at > ' ~ last_build('ingested_through'),
        'user_daily': 'day >= (select rewrite_from from ' ~ window ~ ')',
        'user_features_daily': 'as_of_date >= (select rewrite_from from ' ~ window ~ ')',
        'churn_labels': labelled_anew,
        'evaluation_set': labelled_anew,
        'training_set': labelled_anew,
    } -%}
    {%- if relation.identifier in conditions and only_new_rows() -%}
        (select * from {{ relation }} where {{ conditions[relation.identifier] }}) as new_rows
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}
