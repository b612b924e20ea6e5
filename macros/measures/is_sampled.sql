{#- True for the days that models may be trained on: every `training_every_days`, counted from a fixed Sunday. -#}
{% macro is_sampled(day) -%}
    ({{ day_number(day) }} + 4) % {{ domain_settings().training_every_days }} = 0
{%- endmacro %}
