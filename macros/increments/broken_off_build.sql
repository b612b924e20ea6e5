{#- A date of build_window as the last build left it, as a literal, if that build did not end: it may have
    written its days and removed all others. Otherwise NULL; 1900-01-01 if that build had no days. -#}
{% macro broken_off_build(column) %}
    {% set window = load_relation(build_window()) if execute and not flags.FULL_REFRESH %}
    {% set day = none %}
    {% if window %}
        {% set rows = run_query('select build_number, ' ~ column ~ ' from ' ~ window).rows %}
        {% if rows and rows[0][0] >= next_build_number() %}{% set day = rows[0][1] or '1900-01-01' %}{% endif %}
    {% endif %}
    {{ return("cast('" ~ day ~ "' as date)" if day else 'cast(null as date)') }}
{% endmacro %}
