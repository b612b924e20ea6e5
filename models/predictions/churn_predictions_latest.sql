with

predictions as (select * from {{ ref('churn_predictions') }})

select *
from predictions
where as_of_date = (select max(as_of_date) from predictions)
order by risk_rank
