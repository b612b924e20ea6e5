{#- Stop if a build writes this model but not the view `name`, which must be of the same build. -#}
{% macro check_selected_too(name) %}
    {% set needed = 'model.' ~ project_name ~ '.' ~ name %}
    {% if execute and flags.WHICH in ('run', 'build') and needed not in selected_resources %}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ' is built together with ' ~ name ~ ', which was not selected. '
            ~ 'Next: select +' ~ this.identifier ~ ', or both.'
        ) }}
    {% endif %}
{% endmacro %}
