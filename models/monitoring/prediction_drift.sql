with

reference as (select * from {{ source('ml', 'training_reference') }}),

current_rows as (

    select *
    from {{ ref('churn_predictions') }}
    where is_eligible

),

drift as (
    {{ psi('reference', 'current_rows', 'churn_risk', ['model_version']) }}
)

select
    as_of_date,
    model_version,
    psi,
    {{ drift_status('psi', 'noise_psi') }} as status,
    noise_psi,
    bins,
    reference_rows,
    current_rows
from drift
