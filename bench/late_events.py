"""Compare training on features as they were served with training on today's.

    .venv/bin/python bench/late_events.py --users 2000 --late 0.04 0.2

Late events rewrite past features, so today's training rows know more than the score of that day
did. For each share of late events a synthetic world is delivered week by week. Each Sunday's
features are kept as they were served that night. Then the vote of both members is fitted twice on
the dates before each of the last test periods: on today's features and on those served. Both are
judged on the served features of the test dates, as scoring sees them. Prints ranking within dates
and the paired difference with its 95 % interval over users.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table

import measured
from python_jobs.ingest import domain
from python_jobs.settings import Settings
from python_jobs.synthetic import generate
from python_jobs.training.estimators import churn_risk
from python_jobs.training.feature_facts import explained_features
from python_jobs.training.fit import fit_and_hold_out
from python_jobs.training.judging import paired_difference
from python_jobs.training.metrics import average_precision, by_date, roc_auc
from python_jobs.training.splits import Rows, usable_splits
from python_jobs.training.train import read_inputs
from python_jobs.warehouse.dbt import BEFORE_MODELS

START, HORIZON = date(2025, 1, 1), 30
BUILD = ("build", *BEFORE_MODELS, "--exclude-resource-type", "test")


def delivered(raw: Path, home: Path, last_day: date) -> None:
    """Deliver the files week by week; keep each Sunday's features in served.duckdb."""
    sunday = START + timedelta(6 - START.weekday())
    while sunday <= last_day:
        for file in raw.glob("*/*.parquet"):
            target = home / "raw" / file.parent.name / file.name
            if date.fromisoformat(file.stem) <= sunday and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
        measured.run([measured.CHURNHOUSE, "ingest"], home)
        measured.run([measured.CHURNHOUSE, *BUILD], home)
        with duckdb.connect(str(home / "served.duckdb")) as con:
            con.execute(f"attach '{home / 'warehouse.duckdb'}' as warehouse (read_only)")
            today = "from warehouse.main.user_features_latest"
            con.execute(f"create table if not exists served as {today} limit 0")
            con.execute(f"insert into served {today}")
        sunday += timedelta(7)


def training_rows(home: Path) -> tuple[Rows, Rows]:
    """Return evaluation_set with today's features, and the same rows with those served."""
    settings = domain.load("elearning", Settings()).vars
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        con.execute(f"attach '{home / 'served.duckdb'}' as kept (read_only)")
        con.execute("""
            create temp table today as
            from main.evaluation_set semi join kept.served using (user_id, as_of_date)
        """)
        con.execute("""
            create temp table served as
            select served.*, today.churn_label
            from kept.served inner join today using (user_id, as_of_date)
        """)
        found = []
        for name in ("today", "served"):
            con.execute(f"create or replace temp view evaluation_set as from temp.{name}")
            inputs = read_inputs(
                con,
                horizon_days=HORIZON,
                explained=explained_features(settings),
                attributes=settings.learned_attributes,
            )
            found.append(inputs.rows)
    return found[0], found[1]


def judged(today: Rows, served: Rows) -> list[str]:
    """Return ranking on served features after training on each, and the difference."""
    risks: list[list[np.ndarray]] = [[], []]
    tests = []
    for known, test in usable_splits(served, HORIZON):
        tests.append(test[served.eligible[test]])
        for rows, found in zip((today, served), risks, strict=True):
            before = replace(
                rows,
                **{n: getattr(rows, n)[known] for n in ("X", "y", "dates", "users", "eligible")},
                attributes={},
            )
            fitted = fit_and_hold_out(
                before, {}, horizon_days=HORIZON, seed=7, budget=0, say=lambda line: None
            )[1]
            found.append(churn_risk(fitted.models["soft_voting"], served.X[tests[-1]]))
    test = np.concatenate(tests)
    y, dates, users = served.y[test], served.dates[test], served.user_codes[test]
    old, new = (np.concatenate(found) for found in risks)
    changed = (np.nan_to_num(today.X, nan=-1) != np.nan_to_num(served.X, nan=-1)).any(axis=1)
    lead = paired_difference(y, new, old, users, dates, seed=7)
    return [
        f"{changed.mean():.1%}",
        *(f"{by_date(roc_auc, y, risk, dates):.4f}" for risk in (old, new)),
        *(f"{by_date(average_precision, y, risk, dates):.4f}" for risk in (old, new)),
        f"{lead.value:+.4f} ({lead.low:+.4f} to {lead.high:+.4f})",
    ]


def main() -> None:
    """Make and deliver each world, judge, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--late", type=float, nargs="+", default=[0.04, 0.2])
    options = parser.parse_args()
    table = Table(
        "late events", "rows that differ", "AUC: today's", "served", "AP: today's", "served",
        "difference in AP",
    )  # fmt: skip
    for share in options.late:
        generate.LATE_SHARE = share
        with tempfile.TemporaryDirectory(prefix="churnhouse-bench-") as folder:
            world, home = Path(folder) / "world", Path(folder) / "home"
            made = generate.generate(
                world / "raw", world / "truth", users=options.users, days=options.days, start=START
            )
            home.mkdir()
            delivered(world / "raw", home, made.last_day)
            table.add_row(f"{share:.0%}", *judged(*training_rows(home)))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
