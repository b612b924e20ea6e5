{#- The data spans at most max_history_days: a wrong date must not make a build go through decades. -#}
{% set limit = domain_settings().max_history_days %}
with

span as (select * from {{ ref('data_span') }}),

lengths as (

    select
        data_from,
        data_through,
        {{ day_number('data_through') }} - {{ day_number('data_from') }} + 1 as length_days
    from span

)

select
    concat(data_from, ' to ', data_through) as part,
    concat(length_days, ' days') as found,
    'at most {{ limit }}: set first_day or max_history_days in domain.yml' as allowed
from lengths
where length_days > {{ limit }}
