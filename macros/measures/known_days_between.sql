{#- Days from `first` to `last` without the unknown ones among them. `at_first` and `at_last` are their rows of the
    model days; `at_first` may be missing, for a day before the data. -#}
{% macro known_days_between(first, last, at_first, at_last) -%}
    {{ day_number(last) }} - {{ day_number(first) }}
    - ({{ at_last }}.unknown_days - coalesce({{ at_first }}.unknown_days, 0))
{%- endmacro %}
