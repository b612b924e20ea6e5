with

predictions as (select * from {{ ref('churn_predictions_latest') }})

select *
from predictions
where is_eligible and not in_holdout
order by risk_rank
limit {{ domain_settings().top_k }}
