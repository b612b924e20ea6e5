{{ config(materialized='view') }}
{% set made_here = {'in_holdout': in_holdout('user_id')} %}

with

predictions as (select * from {{ prediction_history() }})

select
    {% for column in prediction_columns() -%}
    {% if not column.is_stored %}{{ made_here[column.name] }} as {% endif -%}
    {{ column.name }}{{ ',' if not loop.last }}
    {% endfor %}
from predictions
