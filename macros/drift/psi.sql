{#- Population stability index of one column: how far the current distribution is from the reference, as
    the sum over bins of (c - r) * ln(c / r), where c and r are the shares of a bin.

    - A numeric column has bins between the deciles of the reference. Deciles are values that occur there,
      since an interpolated one may miss two equal values by a rounding error. The outer bins are open. If
      deciles coincide, bins are empty; a bin that is empty on both sides adds nothing.
    - A categorical column has a bin for each value.
    - NULL has its own bin.
    - A share below 0.0001 counts as 0.0001, so that an empty bin does not give infinity.

    reference, current: relations or CTE names, both with the columns of `by`, which pair their rows (for
    example model_version); current also has `as_of_date`. The result is one row per `by` and as_of_date:
    psi, bins, reference_rows, current_rows and noise_psi (see psi_noise). -#}
{% macro psi(reference, current, column, by, is_numeric=true) %}
    {%- set keys = by | join(', ') -%}
    {%- set bin = psi_bin(column) if is_numeric else 'source.' ~ column %}
    with

    edges as (

        select
            {{ keys }}
            {%- if is_numeric %}
                {%- for k in range(1, 10) -%}
                    , percentile_disc(0.{{ k }}) within group (order by {{ column }}) as edge_{{ k }}
                {%- endfor -%}
            {%- endif %}
        from {{ reference }}
        group by {{ keys }}

    ),

    reference_bins as (

        select
            {{ keys }},
            {{ bin }} as bin,
            count(*) as bin_rows
        from {{ reference }} as source
        inner join edges using ({{ keys }})
        group by all

    ),

    current_bins as (

        select
            {{ keys }},
            source.as_of_date,
            {{ bin }} as bin,
            count(*) as bin_rows
        from {{ current }} as source
        inner join edges using ({{ keys }})
        group by all

    ),

    current_totals as (

        select {{ keys }}, as_of_date, sum(bin_rows) as all_rows
        from current_bins
        group by all

    ),

    reference_totals as (

        select {{ keys }}, sum(bin_rows) as all_rows
        from reference_bins
        group by all

    ),

    -- every bin of both sides, for every date
    bins as (

        select {{ keys }}, as_of_date, bin from current_bins
        union
        select
            {% for key in by %}reference_bins.{{ key }}, {% endfor %}
            current_totals.as_of_date,
            reference_bins.bin
        from reference_bins
        inner join current_totals using ({{ keys }})

    ),

    shares as (

        select
            {% for key in by %}bins.{{ key }}, {% endfor %}
            bins.as_of_date,
            current_totals.all_rows as current_rows,
            reference_totals.all_rows as reference_rows,
            greatest(coalesce(current_bins.bin_rows, 0) / cast(current_totals.all_rows as double), 0.0001) as c,
            greatest(coalesce(reference_bins.bin_rows, 0) / cast(reference_totals.all_rows as double), 0.0001) as r
        from bins
        inner join current_totals using ({{ keys }}, as_of_date)
        inner join reference_totals using ({{ keys }})
        left join current_bins
            on
                {% for key in by %}bins.{{ key }} = current_bins.{{ key }} and {% endfor %}
                bins.as_of_date = current_bins.as_of_date
                and bins.bin is not distinct from current_bins.bin
        left join reference_bins
            on
                {% for key in by %}bins.{{ key }} = reference_bins.{{ key }} and {% endfor %}
                bins.bin is not distinct from reference_bins.bin

    ),

    summed as (

        select
            {{ keys }},
            as_of_date,
            -- sums of decimals do not depend on the order of the bins
            sum(cast((c - r) * ln(c / r) as decimal(38, 18))) as psi,
            count(*) as bins,
            max(reference_rows) as reference_rows,
            max(current_rows) as current_rows,
            greatest(count(*) - 1, 1) as freedom
        from shares
        group by {{ keys }}, as_of_date

    )

    select
        {{ keys }},
        as_of_date,
        cast(psi as double) as psi,
        cast(bins as integer) as bins,
        cast(reference_rows as bigint) as reference_rows,
        cast(current_rows as bigint) as current_rows,
        {{ psi_noise('reference_rows', 'current_rows', 'freedom') }} as noise_psi
    from summed
{% endmacro %}
