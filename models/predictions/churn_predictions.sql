{{ config(materialized='view') }}
{% set made_here = {'in_holdout': in_holdout('user_id')} %}

with

predictions as (select * from {{ source('ml', 'churn_predictions') }})

select
    {% for column in prediction_columns() -%}
    {{ made_here[column.name] ~ ' as ' if not column.is_stored }}{{ column.name }}{{ ',' if not loop.last }}
    {% endfor %}
from predictions
