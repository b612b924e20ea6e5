with

decisions as (select * from {{ source('ml', 'effect_models') }}),

newest as (select max(decision_number) as decision_number from decisions)

select
    decisions.decided_at,
    cast(decisions.state as string) as state,
    cast(decisions.contacts as bigint) as contacts,
    cast(decisions.missing_contacts as bigint) as missing_contacts,
    cast(decisions.lead as double) as lead_over_save_rates,
    cast(decisions.lead_low as double) as lead_low,
    cast(decisions.lead_high as double) as lead_high,
    cast(decisions.reason as string) as reason
from decisions
inner join newest on decisions.decision_number = newest.decision_number
