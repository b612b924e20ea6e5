{#- A ratio of domain.yml over one window: the total of `part` divided by the sum of the totals of
    `of`. -#}
{% macro ratio_over(ratio, n) -%}
    {%- set suffix = '_' ~ n ~ 'd' -%}
    {{ divide(ratio.part ~ suffix, '(' ~ ratio.of | join(suffix ~ ' + ') ~ suffix ~ ')') }}
{%- endmacro %}
