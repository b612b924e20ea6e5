"""Compare the cost of one more day with a full build, for several lengths of history.

    .venv/bin/python bench/one_day.py --users 200000 --days 60 120 360 --runs 3

For each length of history a warehouse is filled and built. Each run then adds one day to every
warehouse and rebuilds the one of 120 days, so a change of the machine's speed affects all. Measured
is what runs each night before scoring, with its gates: wall and CPU seconds, bytes read and rows
written; the last two do not depend on the machine. The number of users on the last day is the same
for every history, so a day writes the same number of rows. The first row of the table is for a
hundred users: the fixed cost of start-up and some sixty dbt nodes.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

import measured
from python_jobs.synthetic.generate import FIRST_SHARE, SIGNUP_DAYS
from python_jobs.warehouse.dbt import BEFORE_MODELS

DAY_TABLES = {"user_daily": "day", "sampled_features": "as_of_date"}
BUILD = ("build", *BEFORE_MODELS)
SHARE_DAYS, SHARE_GOAL, GROWTH_GOAL = 120, 0.06, 0.15
FIXED, FIXED_USERS = "fixed", 100


def run(home: Path, *arguments: object) -> measured.Used:
    """Return what a churnhouse command over this home used."""
    return measured.run([measured.CHURNHOUSE, *arguments], home)


def asked_for(users: int, days: int) -> int:
    """Return the number to give `generate` so that `users` have signed up by the last day."""
    return round(users / (FIRST_SHARE + (1 - FIRST_SHARE) * days / SIGNUP_DAYS))


def rows_written(home: Path) -> int:
    """Return the rows of the day tables that the last build wrote."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        return sum(
            db.execute(
                f"select count(*) from {table} inner join user_windows using (user_id) "
                f"where {day} >= rewrite_from"
            ).fetchone()[0]
            for table, day in DAY_TABLES.items()
        )


def a_day_more(home: Path) -> tuple[measured.Used, int]:
    """Return what a build of one more day used, and the rows it wrote."""
    run(home, "generate", "--days", 1, "--append")
    run(home, "ingest")
    return run(home, *BUILD), rows_written(home)


def measure(users: int, lengths: list[int], runs: int) -> dict[str, tuple[list, list]]:
    """Return full builds and one-day builds by length of history, the fixed part first."""
    root = Path(tempfile.mkdtemp(prefix="churnhouse-bench-"))
    sizes = {FIXED: (FIXED_USERS, SHARE_DAYS)} | {f"{days}": (users, days) for days in lengths}
    found: dict[str, tuple[list, list]] = {}
    try:
        for name, (asked, days) in sizes.items():
            home = root / name
            run(home, "generate", "--users", asked_for(asked, days), "--days", days)
            run(home, "ingest")
            found[name] = ([run(home, *BUILD)], [])
        for _ in range(runs):
            for name, (full, more) in found.items():
                home = root / name
                more.append(a_day_more(home))
                if sizes[name][1] == SHARE_DAYS:
                    full.append(run(home, *BUILD, "--full-refresh"))
                used = f"a day {more[-1][0].wall:.1f} s, full {full[-1].wall:.1f} s"
                print(f"{name}: {used}", file=sys.stderr)
    finally:
        shutil.rmtree(root)
    return found


def medians(full: list[measured.Used], more: list[tuple[measured.Used, int]]) -> dict[str, float]:
    """Return the median of each count, and the highest memory of a day."""

    def median(of: list[measured.Used], what: str) -> float:
        return statistics.median(getattr(used, what) for used in of)

    days = [used for used, _ in more]
    return {
        "full": median(full, "wall"),
        "full CPU": median(full, "cpu"),
        **{what: median(days, what) for what in ("wall", "cpu", "read")},
        "rows": statistics.median(rows for _, rows in more),
        "peak": max(used.peak for used in days),
    }


def main() -> None:
    """Measure every length of history, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--days", type=int, nargs="+", default=[60, SHARE_DAYS, 360])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    measures = measure(options.users, options.days, options.runs)
    found = {name: medians(*one) for name, one in measures.items()}
    table = Table(title=f"one more day, {options.users:,} users, median of {options.runs}")
    columns = ("days", "full s", "day s", "share", "full CPU", "day CPU", "share")
    for column in (*columns, "read MB", "k rows", "peak GB"):
        table.add_column(column, justify="right")
    for name, one in found.items():
        table.add_row(
            name,
            *(f"{one['full']:.1f}", f"{one['wall']:.1f}", f"{one['wall'] / one['full']:.1%}"),
            *(f"{one['full CPU']:.1f}", f"{one['cpu']:.1f}"),
            *(f"{one['cpu'] / one['full CPU']:.1%}", f"{one['read'] / 1e6:,.0f}"),
            *(f"{one['rows'] / 1e3:,.0f}", f"{one['peak']:.1f}"),
        )
    Console().print(table)
    if (one := found.get(f"{SHARE_DAYS}")) is not None:
        share, fixed = one["wall"] / one["full"], found[FIXED]
        verdict = "holds" if share <= SHARE_GOAL else "MISSED"
        what = f"share of the full build at {SHARE_DAYS} days"
        print(f"{what}: {share:.1%}, goal {SHARE_GOAL:.0%}: {verdict}")
        wall, cpu = (
            (one[day] - fixed[day]) / (one[full] - fixed[full])
            for day, full in (("wall", "full"), ("cpu", "full CPU"))
        )
        print(f"beyond the fixed part, what the data take: {wall:.1%} (CPU {cpu:.1%})")
    shortest, longest = min(options.days), max(options.days)
    if longest > shortest:
        growth = found[f"{longest}"]["wall"] / found[f"{shortest}"]["wall"] - 1
        verdict = "holds" if growth <= GROWTH_GOAL else "MISSED"
        print(
            f"a day at {longest} days of history against {shortest}: {growth:+.0%},"
            f" goal within {GROWTH_GOAL:.0%}: {verdict}"
        )


if __name__ == "__main__":
    main()
