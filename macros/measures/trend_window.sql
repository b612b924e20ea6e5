{#- The window whose daily rate a trend compares the shortest one with: the first that is at least four
    times as long, or the last. -#}
{% macro trend_window(windows) %}
    {% set long = [] %}
    {% for n in windows if n >= 4 * windows[0] %}{% do long.append(n) %}{% endfor %}
    {{ return(long | first if long else windows | last) }}
{% endmacro %}
