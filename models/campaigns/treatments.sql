with

contacts as (select * from {{ ref('contacts') }})

select
    user_id,
    campaign,
    min(treated_on) as treated_on,
    max(treated_on) as last_treated_on,
    {{ in_holdout('user_id') }} as is_in_holdout
from contacts
where action = 'contacted'
group by user_id, campaign
