{#- No label window reaches past data_through: the label of an open window is unknown. -#}
with

labels as (select * from {{ ref('churn_labels') }}),

build_window as (select * from {{ ref('build_window') }})

select
    labels.user_id,
    labels.as_of_date as found,
    {{ add_days('build_window.data_through', -domain_settings().churn_horizon_days) }} as allowed
from labels
cross join build_window
where
    labels.as_of_date
    > {{ add_days('build_window.data_through', -domain_settings().churn_horizon_days) }}
