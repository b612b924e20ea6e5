-- One event per invoice line. No line is dropped: one that cannot count gets a reject_reason.
-- Exact copies share an event_id, so the second one is set aside as a repeat.
create or replace temp view events as
select
    md5(cast(events_file as varchar)) as event_id,
    cast(cast("CustomerID" as bigint) as varchar) as user_id,
    "InvoiceDate" as event_time,
    if("InvoiceNo" like 'C%', 'cancellation', 'purchase') as event_type,
    abs("Quantity" * "UnitPrice") as amount,
    abs("Quantity") as quantity,
    "UnitPrice" as unit_price,
    "Country" as country,
    case
        when "UnitPrice" <= 0 then 'price_not_positive'
        when "Quantity" <= 0 and "InvoiceNo" not like 'C%' then 'quantity_not_positive'
    end as reject_reason
from events_file;

create or replace temp view users as
select
    user_id,
    min(try_cast(event_time as timestamp)) as signup_date, -- a CSV file's times are text
    min(try_cast(event_time as timestamp)) as updated_at,
    arg_min(country, try_cast(event_time as timestamp)) as country
from events
where user_id is not null and reject_reason is null
group by user_id
order by user_id;
