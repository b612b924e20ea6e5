"""The summary of one run, for the terminal and the published manifest."""

from typing import Any

import duckdb

from python_jobs.publication.limits import limits_of
from python_jobs.publication.models import in_words
from python_jobs.registry import store
from python_jobs.registry.tables import write_registry_tables
from python_jobs.settings import Settings
from python_jobs.warehouse.dbt_settings import domain_vars
from python_jobs.warehouse.engines import engine_of


def of(
    connection: duckdb.DuckDBPyConnection, settings: Settings, model_version: str
) -> dict[str, Any]:
    """Return counts from the warehouse, the model's main metrics, and five users to contact."""
    domain, data_from, data_through = connection.execute(
        "select raw.domain.name, data_from, data_through from main.build_window, raw.domain"
    ).fetchall()[0]
    engine = engine_of(settings)
    (totals,) = engine.rows(
        connection,
        """
        select
            (select count(*) from main.accepted_users),
            (select count(*) from main.accepted_events),
            (select count(*) from main.user_daily),
            (select avg(churn_label) from main.training_set)
        """,
    )
    users, events, user_days, base_rate = totals
    rejected = connection.execute(
        """
        select reject_reason, cast(sum(row_count) as bigint) as row_count
        from main.rejected_counts
        group by reject_reason
        order by row_count desc, reject_reason
        """
    ).fetchall()
    set_aside = engine.rows(
        connection,
        "select reject_reason, count(*) from main.set_aside_events group by 1 order by 2 desc, 1",
    )
    excluded = engine.rows(
        connection,
        "select exclude_reason, count(*) from main.int_users where exclude_reason is not null "
        "group by 1 order by 2 desc, 1",
    )
    unknown = engine.rows(connection, "select day from main.days where is_unknown order by day")
    riskiest = connection.execute(
        "select user_id, churn_risk from main.churn_top_risk order by list_rank limit 5"
    ).fetchall()
    expected = connection.execute(
        """
        select
            coalesce(sum(expected_leavers), 0),
            coalesce(sum(expected_loss), 0),
            min_by(expected_leavers, week_start),
            min_by(expected_loss, week_start),
            min(week_end)
        from main.churn_calendar
        """
    ).fetchall()[0]
    # an interrupted training may not have added its version to the tables
    write_registry_tables(connection, settings.models)
    model = connection.execute("select * from ml.model_versions where version = ?", [model_version])
    names = [column[0] for column in model.description]
    metrics = dict(zip(names, model.fetchall()[0], strict=True))
    production = store.production(settings.models)
    query = "select max(forgotten_at) from raw.forgotten"
    (forgotten_at,) = connection.execute(query).fetchall()[0]
    vars_ = domain_vars(connection)
    value, horizon = vars_["value"], vars_["churn_horizon_days"]
    return {
        "domain": domain,
        "data_from": data_from.isoformat(),
        "data_through": data_through.isoformat(),
        "users": users,
        "events": events,
        "timezone": vars_["timezone"],
        "eligibility_days": vars_["eligibility_days"],
        "value_horizons": value["horizon_days"] / horizon if value.get("measure") else 1,
        "limits": limits_of(vars_),
        "forgotten_at": forgotten_at and f"{forgotten_at.isoformat()}Z",
        "rejected": dict(rejected),
        "set_aside": dict(set_aside),
        "excluded_users": dict(excluded),
        "unknown_days": [day.isoformat() for (day,) in unknown],
        "user_days": user_days,
        "base_rate": base_rate,
        "expected": {
            "churners": expected[0],
            "loss": expected[1],
            "first_week": {
                "until": expected[4].isoformat(),
                "leavers": expected[2],
                "loss": expected[3],
            },
        },
        "model": {
            "promoted_at": production.promoted_at if production else None,
            "estimator": metrics["estimator"],
            "kind": in_words(metrics["estimator"]),
            "unjudged": store.read_manifest(settings.models, model_version).get("unjudged"),
            "roc_auc": metrics["roc_auc"],
            "average_precision": metrics["average_precision"],
            "precision_at_50": metrics["precision_at_50"],
        },
        "list": {
            **vars_["list"],
            "top_k": vars_["top_k"],
            "offer_cost": vars_["offer_cost"],
        },
        "riskiest": [{"user_id": user_id, "churn_risk": risk} for user_id, risk in riskiest],
    }
