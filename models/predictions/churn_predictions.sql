{{ config(materialized='view') }}
{% set made_here = {
    'in_holdout': in_holdout('user_id'),
    'risk_band': "case when is_eligible then risk_band else 'gone' end",
} %}

with

predictions as (select * from {{ prediction_history() }})

select
    {% for column in prediction_columns() -%}
    {% if column.name in made_here %}{{ made_here[column.name] }} as {% endif -%}
    {{ column.name }}{{ ',' if not loop.last }}
    {% endfor %}
from predictions
