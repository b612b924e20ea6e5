{#- Create the tables that the Python jobs write, so that a build works before any model exists. Spark
    runs one statement at a time and has no tables of earlier versions. -#}
{% macro create_ml_tables() %}
    {% if execute %}
        {% set predicted = prediction_columns() | selectattr('is_stored') | list %}
        {% set ddl %}
            create schema if not exists ml;
            create table if not exists ml.model_versions (
                version varchar, created_at timestamp, estimator varchar, data_through date,
                features_fingerprint varchar, onnx_sha256 varchar, joblib_sha256 varchar,
                average_precision double, roc_auc double, precision_at_50 double,
                precision_at_top_k double,
                brier double, base_rate double, log_loss double,
                expected_calibration_error double, lift_top_decile double, expected_value double,
                average_precision_low double, average_precision_high double
            );
            create table if not exists ml.fold_metrics (
                version varchar, model varchar, fold varchar, population varchar,
                metric varchar, value double, low double, high double, "rows" bigint
            );
            create table if not exists ml.promotions (
                decided_at timestamp, version varchar, champion varchar, is_promoted boolean,
                reason varchar, numbers varchar, approved_by varchar, approval_note varchar,
                decision_number bigint
            );
            create table if not exists ml.approvals (
                decided_at timestamp, version varchar, is_approved boolean, decided_by varchar, note varchar,
                decision_number bigint
            );
            create table if not exists ml.effect_models (
                decided_at timestamp, state varchar, contacts bigint, missing_contacts bigint,
                lead double, lead_low double, lead_high double, reason varchar, decision_number bigint
            );
            {% if target.type == 'spark' -%}
            create table if not exists ml.churn_predictions (
                {% for column in predicted %}{{ column.name }} {{ column.type }}{{ ', ' if not loop.last }}{% endfor %}
            );
            create table if not exists ml.scored_features (user_id varchar, as_of_date date);
            {% endif %}
            create table if not exists ml.training_reference (
                user_id varchar, model_version varchar, churn_risk double
            );
            create table if not exists ml.dbt_run_results (
                invocation_id varchar, started_at timestamp, node varchar, resource_type varchar,
                status varchar, failures bigint, seconds double, message varchar, run_number bigint
            );
            -- columns that tables of earlier versions lack
            alter table ml.model_versions add column if not exists precision_at_top_k double;
            alter table ml.model_versions add column if not exists log_loss double;
            alter table ml.model_versions add column if not exists expected_calibration_error double;
            alter table ml.model_versions add column if not exists lift_top_decile double;
            alter table ml.model_versions add column if not exists expected_value double;
            alter table ml.model_versions add column if not exists average_precision_low double;
            alter table ml.model_versions add column if not exists average_precision_high double;
            alter table ml.promotions add column if not exists numbers varchar;
            alter table ml.promotions add column if not exists approved_by varchar;
            alter table ml.promotions add column if not exists approval_note varchar;
            alter table ml.promotions add column if not exists decision_number bigint;
            alter table ml.approvals add column if not exists decision_number bigint;
            alter table ml.effect_models add column if not exists decision_number bigint;
            alter table ml.training_reference add column if not exists user_id varchar;
            alter table ml.dbt_run_results add column if not exists run_number bigint;
        {% endset %}
        {% do adapter.dispatch('run_ddl', 'churnhouse')(ddl) %}
    {% endif %}
{% endmacro %}

{% macro duckdb__run_ddl(ddl) %}
    {% call statement('run_ddl', auto_begin=True) %}{{ ddl }}{% endcall %}
    {% do adapter.commit() %}
{% endmacro %}

{% macro spark__run_ddl(ddl) %}
    {% for line in ddl.split(';') if line | trim and 'alter table' not in line %}
        {% do run_query(line | replace(' varchar', ' string') | replace('"', '`')) %}
    {% endfor %}
{% endmacro %}
