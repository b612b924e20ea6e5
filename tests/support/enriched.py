"""Makes a version with all that a full installation publishes: reasons, drift, outcomes."""

import json
import math
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from python_jobs.publishing import lookup
from support.versions import seal

LAST = date(2025, 4, 30)
REASONS = (
    "No activity for 12 days; most users come back within 3",
    "Watch time fell by 64 % against the two weeks before",
    "Two payments failed in the last 30 days",
)


def enrich(folder: Path) -> None:
    """Add all optional data to a version, in the published form."""
    _widen_users(folder)
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        store.execute("pragma journal_mode = off")
        store.execute("create table t as select user_id, churn_risk from users")
        for user_id, risk in store.execute("select user_id, churn_risk from t").fetchall():
            history = [
                {
                    "as_of_date": str(LAST - timedelta(days=7 * n)),
                    "churn_risk": max(0.01, risk - n / 12),
                }
                for n in range(7, -1, -1)
            ]
            history[-1]["churn_risk"] = risk
            row = (json.dumps(history), user_id)
            store.execute("update users set history = ? where user_id = ?", row)
        store.execute("drop table t")
        _actions(store)
        _monitoring(store, json.loads((folder / "features.json").read_text())["names"])
        store.commit()
    _typical(folder)
    model_version = json.loads((folder / "manifest.json").read_text())["model_version"]
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / f"{model_version}.html").write_text(
        "<!doctype html><html lang=en><title>Report</title><style>body{font-family:sans-serif}"
        "</style><h1>Model card</h1><p id=out></p><script>out.textContent='drawn'</script></html>"
    )
    seal(folder)


def _widen_users(folder: Path) -> None:
    """Rewrite the store with in_holdout and reasons among the columns."""
    old, new = folder / "lookup.sqlite", folder / "new.sqlite"
    attributes = json.loads((folder / "manifest.json").read_text())["attributes"]
    with closing(sqlite3.connect(old)) as source, lookup.new_store(new, attributes) as store:
        names = source.execute("select name, type from pragma_table_info('users')").fetchall()
        added = {
            "in_holdout": "integer",
            "reason_1": "text",
            "reason_2": "text",
            "reason_3": "text",
        }
        kept = [(name, kind) for name, kind in names if name not in added]
        rows = source.execute(f"select {', '.join(n for n, _ in kept)} from users").fetchall()
        wide = [
            (*row, int(number % 10 == 0), REASONS[number % 3], REASONS[(number + 1) % 3], None)
            for number, row in enumerate(rows)
        ]
        lookup.write_table(store, "users", "user_id", dict(kept) | added, [wide])
    new.replace(old)


def _monitoring(store: sqlite3.Connection, features: list[str]) -> None:
    for table in ("risk_bands", "feature_drift", "prediction_drift", "model_performance"):
        store.execute(f"drop table if exists {table}")
    store.execute(
        "create table risk_bands (as_of_date text, risk_band text, users integer,"
        " eligible_users integer, expected_churners real)"
    )
    store.execute(
        "create table feature_drift (feature text, as_of_date text, psi real, status text,"
        " reference_rows integer, current_rows integer, noise_psi real)"
    )
    store.execute(
        "create table prediction_drift (as_of_date text, model_version text, psi real, status text)"
    )
    store.execute(
        "create table model_performance (as_of_date text, model_version text, is_mature integer,"
        " users integer, precision_at_top_k real, expected_precision_at_top_k real)"
    )
    for n in range(11, -1, -1):
        day = str(LAST - timedelta(days=7 * n))
        for band, users in (("high", 24 - n), ("medium", 9 + n % 3), ("low", 180 + n)):
            row = (day, band, users * 2, users, users * 0.4)
            store.execute("insert into risk_bands values (?, ?, ?, ?, ?)", row)
        for place, feature in enumerate(features):
            psi = 0.02 + 0.03 * abs(math.sin(place + n)) + (0.3 / (n + 1) if place in (3, 9) else 0)
            status = "fail" if psi > 0.25 else "warn" if psi > 0.1 else "ok"
            row = (feature, day, psi, status, 900, 900, 0.01)
            store.execute("insert into feature_drift values (?, ?, ?, ?, ?, ?, ?)", row)
        store.execute("insert into prediction_drift values (?, 'm', 0.04, 'ok')", (day,))
        mature = n > 4
        realised = 0.62 + 0.06 * math.sin(n) if mature else None
        row = (day, "m", int(mature), 900, realised, 0.66 + 0.02 * math.cos(n))
        store.execute("insert into model_performance values (?, ?, ?, ?, ?, ?)", row)


def _actions(store: sqlite3.Connection) -> None:
    """Add who came back, what campaigns changed, what policies earned, and the coming weeks."""
    store.execute(
        "update users set churn_move = 'came_back', moved_since = as_of_date where user_id in"
        " (select user_id from users where risk_band = 'low' order by user_id limit 5)"
    )
    store.execute(
        "create table campaign_lift (campaign text, month text, started_on text,"
        " treated_users integer, treated_in_holdout integer, treated_measured integer,"
        " holdout_measured integer, treated_churn real, holdout_churn real, difference real,"
        " difference_low real,"
        " difference_high real)"
    )
    for row in (
        ("spring", "2025-02-01", "2025-02-03", 400, 0, 390, 210, 0.31, 0.52, -0.21, -0.29, -0.13),
        ("winter", "2025-02-01", "2025-02-20", 30, 1, 29, 14, 0.4, 0.5, -0.1, -0.4, 0.2),
        ("april", "2025-04-01", "2025-04-02", 12, 0, 0, 0, None, None, None, None, None),
    ):
        store.execute(f"insert into campaign_lift values ({', '.join('?' * len(row))})", row)
    store.execute(
        "create table policy_value (policy text, users integer, contacted integer,"
        " value_kept real, value_kept_low real, value_kept_high real, list_lead real,"
        " list_lead_low real, list_lead_high real, weeks integer, is_enough integer,"
        " missing_contacts integer)"
    )
    for row in (
        ("list", 900, 300, 1200, 300, 2100, 0, 0, 0, 9, 1, 0),
        ("risk", 900, 40, 90, -800, 980, 1110, -90, 2310, 9, 0, 260),
    ):
        store.execute(f"insert into policy_value values ({', '.join('?' * len(row))})", row)
    store.execute("create table effect_model (decided_at text, state text, reason text)")
    store.execute(
        "insert into effect_model values ('2025-04-29T02:00:00', 'too_few_contacts',"
        " '340 contacts with an outcome, at least 260 are missing to learn whom they keep')"
    )
    store.execute(
        "create table churn_calendar (week_start text, week_end text, users integer,"
        " expected_leavers real, expected_leavers_low real, expected_leavers_high real,"
        " expected_loss real, expected_loss_low real, expected_loss_high real)"
    )
    for week in range(4):
        begins, leavers = LAST + timedelta(days=1 + 7 * week), 6.4 - week
        ends, low, high = begins + timedelta(days=6), leavers - 2.5, leavers + 4
        row = (str(begins), str(ends), 9, leavers, low, high, leavers * 90, low * 90, high * 90)
        store.execute("insert into churn_calendar values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _typical(folder: Path) -> None:
    features = json.loads((folder / "features.json").read_text())
    names = [name for name in features["names"] if name not in features["values"]]
    typical = {}
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        for name in names:
            values = [
                row[0]
                for row in store.execute(
                    f'select "{name}" from users where "{name}" is not null order by 1'
                )
            ]
            at = [values[int(len(values) * share)] for share in (0.5, 0.1, 0.9)]
            typical[name] = dict(zip(("median", "p10", "p90"), at, strict=True))
    (folder / "typical.json").write_text(json.dumps(typical))
