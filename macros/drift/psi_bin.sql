{#- The bin of a number between the nine edges of its reference: 0 to 9, and -1 for NULL. -#}
{% macro psi_bin(column) -%}
    case
        when source.{{ column }} is null then -1
        else
            {% for k in range(1, 10) -%}
                case when source.{{ column }} > edges.edge_{{ k }} then 1 else 0 end{{ ' +' if not loop.last }}
            {% endfor -%}
    end
{%- endmacro %}
