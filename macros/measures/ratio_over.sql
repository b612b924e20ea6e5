{#- A ratio of domain.yml over one window: the part's total over the sum of the totals of all. -#}
{% macro ratio_over(ratio, n) -%}
    {%- set suffix = '_' ~ n ~ 'd' -%}
    {{ divide(ratio.part ~ suffix, '(' ~ ratio.of | join(suffix ~ ' + ') ~ suffix ~ ')') }}
{%- endmacro %}
