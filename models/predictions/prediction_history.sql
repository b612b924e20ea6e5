{{ config(
    materialized='incremental',
    schema='ml',
    alias='churn_predictions',
    unique_key='as_of_date',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}
{% set made_here = {
    'risk_rank': 'cast(row_number() over riskiest_first as bigint)',
    'risk_decile': 'cast(ntile(10) over riskiest_first as integer)',
    'scored_at': started_at(),
} %}

with

scores as (select * from {{ ref('churn_scores') }})

select
    {% for column in prediction_columns() | selectattr('is_stored') -%}
    {% if column.name in made_here %}{{ made_here[column.name] }} as {% endif -%}
    {{ column.name }}{{ ',' if not loop.last }}
    {% endfor %}
from scores
window riskiest_first as (order by churn_risk desc, user_id asc)
