"""What one more day costs beside the full build, and whether that depends on the history.

    .venv/bin/python bench/one_day.py --users 200000 --days 60 360 --runs 3

For each length of history a warehouse is filled and built fully; then, run by run, one more day is
generated and ingested, and `churnhouse build` with every test is measured: wall and CPU seconds,
bytes read by the process and rows written, of which the last two do not depend on the machine.
The users are those of the last day, so that a day writes as many rows after any history.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import duckdb
import measured
from rich.console import Console
from rich.table import Table

from python_jobs.generate import FIRST_SHARE, SIGNUP_DAYS

DAY_TABLES = {"user_daily": "day", "user_features_daily": "as_of_date"}
SHARE_GOAL, GROWTH_GOAL = 0.06, 0.15


def run(home: Path, *arguments: object) -> measured.Used:
    """What a command of churnhouse over this home used."""
    return measured.run([measured.CHURNHOUSE, *arguments], home)


def asked_for(users: int, days: int) -> int:
    """How many users to ask `generate` for, so that so many have signed up by the last day."""
    return round(users / (FIRST_SHARE + (1 - FIRST_SHARE) * days / SIGNUP_DAYS))


def rows_written(home: Path) -> int:
    """Rows of the day tables that the last build wrote."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        return sum(
            db.execute(
                f"select count(*) from {table} inner join user_windows using (user_id) "
                f"where {day} >= rewrite_from"
            ).fetchone()[0]
            for table, day in DAY_TABLES.items()
        )


def measure(users: int, days: int, runs: int) -> dict[str, float]:
    """The full build and the median of `runs` more days, for one length of history."""
    home = Path(tempfile.mkdtemp(prefix="churnhouse-bench-"))
    try:
        run(home, "generate", "--users", asked_for(users, days), "--days", days)
        run(home, "ingest")
        full = run(home, "build")
        more = []
        for _ in range(runs):
            run(home, "generate", "--days", 1, "--append")
            run(home, "ingest")
            more.append((run(home, "build"), rows_written(home)))
    finally:
        shutil.rmtree(home)
    return {
        "days": days,
        "full": full,
        "wall": statistics.median(used.wall for used, _ in more),
        "cpu": statistics.median(used.cpu for used, _ in more),
        "read": statistics.median(used.read for used, _ in more),
        "rows": statistics.median(rows for _, rows in more),
        "peak": max(used.peak for used, _ in more),
    }


def main() -> None:
    """Measure every length of history, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--days", type=int, nargs="+", default=[60, 120, 360])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    found = [measure(options.users, days, options.runs) for days in options.days]
    table = Table(title=f"one more day, {options.users:,} users, median of {options.runs}")
    columns = ("days", "full s", "day s", "share", "full CPU", "day CPU", "share")
    for column in (*columns, "read MB", "k rows", "peak GB"):
        table.add_column(column, justify="right")
    for one in found:
        full = one["full"]
        table.add_row(
            f"{one['days']}",
            *(f"{full.wall:.1f}", f"{one['wall']:.1f}", f"{one['wall'] / full.wall:.1%}"),
            *(f"{full.cpu:.1f}", f"{one['cpu']:.1f}", f"{one['cpu'] / full.cpu:.1%}"),
            *(f"{one['read'] / 1e6:,.0f}", f"{one['rows'] / 1e3:,.0f}", f"{one['peak']:.1f}"),
        )
    Console().print(table)
    shares = [one["wall"] / one["full"].wall for one in found if one["days"] == 120]
    for share in shares:
        verdict = "holds" if share <= SHARE_GOAL else "MISSED"
        print(f"share of the full build at 120 days: {share:.1%}, goal {SHARE_GOAL:.0%}: {verdict}")
    growth = found[-1]["wall"] / found[0]["wall"] - 1
    verdict = "holds" if growth <= GROWTH_GOAL else "MISSED"
    print(
        f"a day at {found[-1]['days']} days of history against {found[0]['days']}: {growth:+.0%},"
        f" goal within {GROWTH_GOAL:.0%}: {verdict}"
    )


if __name__ == "__main__":
    main()
