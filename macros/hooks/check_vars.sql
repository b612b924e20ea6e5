{#- Stop where --vars would be ignored: settings come from the warehouse, see domain_settings. The one var
    of a run, rewrite_from, moves build_window and nothing else. -#}
{% macro check_vars() %}
    {% if execute %}
        {% set given = invocation_args_dict.vars or {} %}
        {% set unused = given | reject('equalto', 'rewrite_from') | sort %}
        {% if unused %}
            {% set domain = run_query('select name from ' ~ source('raw', 'domain')).rows[0][0] %}
            {{ exceptions.raise_compiler_error(
                'A build takes no ' ~ unused | join(', ') ~ ' from --vars: the settings are in domains/'
                ~ domain ~ '/domain.yml. Next: change them there, run `churnhouse ingest --domain ' ~ domain
                ~ '`, then `churnhouse build`.'
            ) }}
        {% endif %}
        {% if given and 'model.' ~ project_name ~ '.build_window' not in selected_resources %}
            {{ exceptions.raise_compiler_error(
                'A day to recompute from changes build_window alone, which was not selected. '
                ~ 'Next: select +build_window too, or leave the day out.'
            ) }}
        {% endif %}
    {% endif %}
{% endmacro %}
