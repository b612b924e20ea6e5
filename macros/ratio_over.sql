{#- A declared ratio over one window, from the window's totals: a part over the sum of some measures. -#}
{% macro ratio_over(totals, ratio, window) -%}
    {%- set whole = [] -%}
    {%- for name in ratio.of %}{% do whole.append(totals ~ '.' ~ name ~ '_' ~ window ~ 'd') %}{% endfor -%}
    {{ divide(totals ~ '.' ~ ratio.part ~ '_' ~ window ~ 'd', '(' ~ whole | join(' + ') ~ ')') }}
{%- endmacro %}
