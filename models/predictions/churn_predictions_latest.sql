with

predictions as (select * from {{ ref('churn_predictions') }}),

latest as (select max(as_of_date) as as_of_date from predictions)

select predictions.*
from predictions
inner join latest on predictions.as_of_date = latest.as_of_date
order by predictions.risk_rank
