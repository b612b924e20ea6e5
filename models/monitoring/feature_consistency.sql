{{ config(
    materialized='incremental',
    unique_key='as_of_date',
    partition_by='as_of_date'
) }}
{% set served_features = scored_features() %}
{% set columns = shared_columns(served_features, ref('user_features_daily')) %}
{% set names = columns | map(attribute='name') | list %}

{#- dates served since the last comparison, or whose features a later build may have changed; the newest
    date compared may have been scored again -#}
{% set dates_to_compare %}
    select distinct as_of_date
    from {{ served_features }}
    {% if is_incremental() %}
        where
            as_of_date not in (select as_of_date from {{ this }})
            or as_of_date >= (select max(as_of_date) from {{ this }})
            or as_of_date >= (
                select min(rewrite_from)
                from {{ ref('build_log') }}
                where build_number > (select max(compared_with) from {{ this }})
            )
    {% endif %}
{% endset %}
{% set dates = dates_of(dates_to_compare) %}

with

builds as (select * from {{ ref('build_log') }}),

served as (

    select *
    from {{ served_features }}
    where {{ one_of('as_of_date', dates) }}

),

today as (

    select *
    from {{ ref('user_features_daily') }}
    where {{ one_of('as_of_date', dates) }}

),

changed as (

    select
        {% for name in names -%}
            {% set column = adapter.quote(name) -%}
            count(case when served.{{ column }} is distinct from today.{{ column }} then 1 end)
                as {{ column }},
        {% endfor -%}
        served.as_of_date,
        count(*) as users
    from served
    inner join today on served.user_id = today.user_id and served.as_of_date = today.as_of_date
    group by served.as_of_date

),

by_feature as (

    {{ as_rows('changed', names, 'bigint', ['as_of_date', 'users']) }}

)

select
    feature,
    as_of_date,
    users,
    value as users_changed,
    {{ divide('value', 'users') }} as share_changed,
    (select max(build_number) from builds) as compared_with
from by_feature
