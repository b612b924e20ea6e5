"""Judge the product on real logs, each cut at a date: only what came before is shown to it.

    make bench-quality LOGS=folder

A log is a Parquet file with user_id, event_time (UTC), event_type and value. A file cuts.csv beside
the logs names dates to cut at (log,date); without it each log is cut at three dates of its second
half. Users active in the last 60 days are judged: are they silent for the next 30? Rivals get the
same events: a specialist (boosting over hand-made counts of 3 to 90 days, five seeds), recency,
frequency (active days of 90), RFM (a logistic regression on recency, active days and value) and
BG/NBD. Intervals are paired and by user (500 bootstrap samples). Last comes the synthetic world,
whose hidden truth no model can beat.
"""

import argparse
import csv
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import yaml
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from scipy.special import betaln, gammaln
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import measured
from python_jobs.files import sql_text
from python_jobs.training.metrics import average_precision, precision_at, roc_auc
from quality import beside_the_oracle

HORIZON, ELIGIBILITY = 30, 60
WINDOWS = (3, 7, 14, 30, 60, 90)
SAMPLES = 500
METRICS = {"AUC": roc_auc, "AP": average_precision, "P@50": lambda y, r: precision_at(y, r, 50)}


@dataclass
class Cut:
    """One log at one date: who was eligible, who churned, and everybody's risks."""

    log: str
    on: date
    users: list[str]
    churned: np.ndarray
    risks: dict[str, np.ndarray]
    seconds: float = 0.0
    refused: str = ""


def main() -> None:
    """Judge every log at every date, print a line for each, then the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path, help="folder of Parquet files")
    parser.add_argument("--keep", type=Path, help="keep the product's homes in this folder")
    parser.add_argument(
        "--vars", type=yaml.safe_load, default={}, help="YAML of settings that the domain gets"
    )
    parser.add_argument("--only", default="", help="judge only cuts whose name contains this")
    options = parser.parse_args()
    console = Console(width=160)
    cuts = []
    for log, on in dates(options.logs):
        if options.only not in f"{log.stem}@{on}":
            continue
        with tempfile.TemporaryDirectory(prefix="churnhouse-logs-") as folder:
            work = (options.keep or Path(folder)) / f"{log.stem}_{on}"
            cut = judged(log, on, work, options.vars)
        cuts.append(cut)
        console.print(line(cut), soft_wrap=True)
    if cuts:
        console.print(summary(cuts))
    if options.only in "synthetic":
        console.print(f"synthetic, 2,000 users: {synthetic()}")


def synthetic() -> str:
    """Run the main job on the synthetic world; return in words how near it comes to the oracle."""
    with tempfile.TemporaryDirectory(prefix="churnhouse-logs-") as folder:
        measured.run([measured.CHURNHOUSE, "run", "--users", 2000], Path(folder))
        return beside_the_oracle(Path(folder))["eligible"]


def dates(folder: Path) -> list[tuple[Path, date]]:
    """Return the logs and the dates to cut them at."""
    named = folder / "cuts.csv"
    if named.exists():
        with named.open(encoding="utf-8") as file:
            return [
                (folder / f"{row['log']}.parquet", date.fromisoformat(row["date"]))
                for row in csv.DictReader(file)
            ]
    found = []
    for log in sorted(folder.glob("*.parquet")):
        for share in (0.5, 0.7, 0.9):
            (day,) = duckdb.execute(
                "select quantile_disc(event_time, ?)::date from read_parquet(?) "
                "where event_time < now()::timestamp",
                [share, str(log)],
            ).fetchall()[0]
            found.append((log, day.replace(day=1) - timedelta(1)))
    return found


def judged(log: Path, on: date, work: Path, settings: dict[str, Any]) -> Cut:
    """Run the product and all rivals on what came before a date; return risks and truth."""
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    con.execute(
        "create table future as select user_id::varchar as user_id, event_time::date as day "
        "from read_parquet(?)",
        [str(log)],
    )
    con.execute(
        "create table seen as select user_id::varchar as user_id, event_time, event_time::date as "
        "day, event_type, coalesce(value, 0) as value from read_parquet(?) where event_time::date "
        "<= ?",
        [str(log), on],
    )
    truth = con.execute(
        """
        select user_id, (max(day) filter (day > $on and day <= $on + $horizon) is null)::int
        from future group by user_id
        having max(day) filter (day <= $on) > $on - $eligibility
        order by user_id
        """,
        {"on": on, "horizon": HORIZON, "eligibility": ELIGIBILITY},
    ).fetchall()
    users = [user for user, _ in truth]
    cut = Cut(log.stem, on, users, np.array([churned for _, churned in truth]), {})
    started = time.monotonic()
    product(con, work, cut, settings)
    cut.seconds = time.monotonic() - started
    rivals(con, cut)
    return cut


def product(con: duckdb.DuckDBPyConnection, work: Path, cut: Cut, settings: dict[str, Any]) -> None:
    """Run the main job in an empty home; a refusal gives everybody the same risk."""
    raw, domain = work / "raw", work / "domains" / cut.log
    raw.mkdir(parents=True)
    domain.mkdir(parents=True)
    con.execute(f"copy (from seen order by event_time, user_id) to '{raw}/events.parquet'")
    types = con.execute(
        "select event_type from seen group by 1 order by count(*) desc, 1 limit 10"
    ).fetchall()
    counts = [
        {"name": f"type_{n}", "event_type": name, "agg": "count"} for n, (name,) in enumerate(types)
    ]
    columns = {"user_id": "text", "event_time": "timestamp", "event_type": "text"}
    content = {
        "files": {"events": {"path": "*", "columns": columns | {"value": "number"}}},
        "vars": {
            "users_from_events": True,
            "churn_horizon_days": HORIZON,
            "eligibility_days": ELIGIBILITY,
            "first_day": con.execute("select min(day) from seen").fetchall()[0][0],
            "silent_days": "closed",
            "expected_weekdays": [],
            "min_day_share": 0,
            "max_rejected_share": 0.3,
            "event_types": {
                name: {"is_activity": True}
                for (name,) in con.execute("select distinct event_type from seen").fetchall()
            },
            "measures": [*counts, {"name": "amount", "agg": "sum", "column": "value"}],
        }
        | settings,
    }
    (domain / "domain.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (domain / "ingest.sql").write_text(
        "create or replace temp view events as select md5(cast(events_file as varchar)) as "
        "event_id, user_id, event_time, event_type, value from events_file;",
        encoding="utf-8",
    )
    environment = {"CHURNHOUSE_HOME": str(work / "home"), "CHURNHOUSE_DOMAINS": str(domain.parent)}
    done = subprocess.run(
        [measured.CHURNHOUSE, "run", "--domain", cut.log, "--raw", raw],
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    cut.risks["product"] = np.zeros(len(cut.users))
    published = work / "home/published/current/churnhouse.duckdb"
    if not published.exists():
        cut.refused = done.stderr.strip().splitlines()[-1] if done.stderr else done.stdout[-300:]
        return
    with duckdb.connect(str(published), read_only=True) as other:
        found = dict(
            other.execute("select user_id, churn_risk from churn_predictions_latest").fetchall()
        )
    middle = float(np.median(list(found.values())))
    cut.risks["product"] = np.array([found.get(user, middle) for user in cut.users])


def rivals(con: duckdb.DuckDBPyConnection, cut: Cut) -> None:
    """Add the rivals' risks."""
    (first,) = con.execute("select min(day) from seen").fetchall()[0]
    start = max(first + timedelta(5), cut.on - timedelta(HORIZON + 730))
    trained = [cut.on - timedelta(HORIZON + 7 * n) for n in range(200)]
    rows = panel(con, [day for day in trained if day >= start])
    now = panel(con, [cut.on]).set_index("user_id").loc[cut.users]
    columns = [name for name in now.columns if name not in ("as_of", "churned")]
    y = rows["churned"].to_numpy()
    specialist = np.zeros(len(now))
    for seed in range(5):
        model = HistGradientBoostingClassifier(
            learning_rate=0.04,
            max_iter=250,
            max_leaf_nodes=15,
            l2_regularization=1,
            min_samples_leaf=40,
            max_features=0.5,
            random_state=seed,
        )
        specialist += model.fit(rows[columns], y).predict_proba(now[columns])[:, 1] / 5
    rfm = ["silence", "active_90", "value_90"]
    logistic = make_pipeline(
        FunctionTransformer(lambda X: np.log1p(np.abs(X))), StandardScaler(), LogisticRegression()
    ).fit(rows[rfm], y)
    cut.risks |= {
        "specialist": specialist,
        "recency": now["silence"].to_numpy(float),
        "frequency": -now["active_90"].to_numpy(float),
        "rfm": logistic.predict_proba(now[rfm])[:, 1],
        "bg_nbd": -bg_nbd(now["days"] - 1, now["tenure"] - now["silence"], now["tenure"]),
    }


def panel(con: duckdb.DuckDBPyConnection, days: list[date]) -> pd.DataFrame:
    """Return a row for each eligible user and day: counts, active days and values of windows."""
    types = con.execute(
        "select event_type from seen group by 1 order by count(*) desc, 1 limit 10"
    ).fetchall()
    columns = [
        f"count(*) filter (age < {n}) as events_{n}, count(distinct day) filter (age < {n}) as "
        f"active_{n}, coalesce(sum(value) filter (age < {n}), 0) as value_{n}"
        for n in WINDOWS
    ]
    columns += [
        f"count(*) filter (age < {n} and event_type = {sql_text(name)}) as type{i}_{n}"
        for i, (name,) in enumerate(types)
        for n in (7, 30, 90)
    ]
    con.execute(
        "create or replace temp table days as select unnest($days::date[]) as as_of", {"days": days}
    )
    return con.execute(
        f"""
        select
            user_id, as_of, min(age) as silence, max(age) as tenure, count(distinct day) as days,
            {", ".join(columns)},
            (coalesce(max(next_day), as_of + 10000) > as_of + {HORIZON})::int as churned
        from (
            select days.as_of, as_of - day as age, seen.*, later.next_day
            from days join seen on seen.day <= as_of
            left join (
                select user_id, as_of, min(day) as next_day from days join future on day > as_of
                group by all
            ) as later using (user_id, as_of)
        )
        group by user_id, as_of having min(age) < {ELIGIBILITY}
        order by as_of, user_id
        """
    ).df()


def fit_bg_nbd(x: np.ndarray, t: np.ndarray, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit BG/NBD (Fader, Hardie and Lee 2005) by maximum likelihood.

    `x`: active days after the first; `t`: days from the first to the last; `T`: days from the first
    to now. Returns r, alpha, a and b, and the probability that each user is alive.
    """

    def log_terms(r: float, alpha: float, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
        start = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
        alive = start - (r + x) * np.log(alpha + T)
        gone = start + np.log(a / (b + np.maximum(x, 1) - 1)) - (r + x) * np.log(alpha + t)
        return alive, np.where(x > 0, gone, -np.inf)

    def loss(logs: np.ndarray) -> float:
        return -np.logaddexp(*log_terms(*np.exp(logs))).mean()

    start = np.log([1.0, max(1.0, float(np.median(T))), 1.0, 1.0])
    found = np.exp(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000}).x)
    alive, gone = log_terms(*found)
    return found, 1 / (1 + np.exp(gone - alive))


def bg_nbd(repeats: pd.Series, recency: pd.Series, age: pd.Series) -> np.ndarray:
    """Return the probability of any purchase in the horizon, by BG/NBD.

    It is that of being alive times that of a purchase by somebody who is and stays so.
    """
    x, t, T = (series.to_numpy(float) for series in (repeats, recency, age + 1.0))
    (r, alpha, _, _), is_alive = fit_bg_nbd(x, t, T)
    return (1 - ((alpha + T) / (alpha + T + HORIZON)) ** (r + x)) * is_alive


def differences(cut: Cut, ours: str, theirs: str) -> dict[str, tuple[float, float]]:
    """Return the paired difference of each metric and its standard error."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(cut.users), (SAMPLES, len(cut.users)))
    found = {}
    for name, metric in METRICS.items():
        value, *drawn = (
            metric(cut.churned[rows], cut.risks[ours][rows])
            - metric(cut.churned[rows], cut.risks[theirs][rows])
            for rows in [np.arange(len(cut.users)), *draws]
        )
        found[name] = value, float(np.nanstd(drawn))
    return found


def line(cut: Cut) -> str:
    """Return one line on a cut: every model's AUC, AP and P@50."""
    rate = cut.churned.mean()
    models = ", ".join(
        f"{name} " + "/".join(f"{m(cut.churned, r):.3f}" for m in METRICS.values())
        for name, r in cut.risks.items()
    )
    level = cut.risks["product"].mean() - rate
    return (
        f"{cut.log}@{cut.on} n={len(cut.users)} churned {rate:.3f} level {level:+.3f} "
        f"{cut.seconds:.0f} s: {models}{' REFUSED ' + cut.refused if cut.refused else ''}"
    )


def summary(cuts: list[Cut]) -> Table:
    """Return the means over all cuts, and the product's paired lead over each rival."""
    table = Table(title=f"{len(cuts)} cuts; lead of the product, paired, with its standard error")
    for name in ("model", *METRICS, *(f"lead {name}" for name in METRICS), "cuts behind"):
        table.add_column(name, justify="right")
    for name in cuts[0].risks:
        means = [np.mean([m(c.churned, c.risks[name]) for c in cuts]) for m in METRICS.values()]
        leads, behind = ["" for _ in METRICS], ""
        if name != "product":
            pairs = [differences(cut, "product", name) for cut in cuts]
            leads = [
                f"{np.mean([p[m][0] for p in pairs]):+.4f} "
                f"({np.sqrt(np.sum([p[m][1] ** 2 for p in pairs])) / len(pairs):.4f})"
                for m in METRICS
            ]
            behind = str(sum(p["AUC"][0] < -p["AUC"][1] for p in pairs))
        table.add_row(name, *(f"{mean:.4f}" for mean in means), *leads, behind)
    return table


if __name__ == "__main__":
    main()
