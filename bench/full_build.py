"""Compare a full build with the leanest SQL that makes the same tables.

    .venv/bin/python bench/full_build.py --users 200000 --runs 3

One warehouse is filled once. Then three variants run in turn, each in its own process: the SQL of
bench/limit.sql, `churnhouse build` without tests, and `churnhouse build` with every test. Prints
median wall and CPU seconds (CPU hardly varies on a busy machine) and the highest peak memory.
The tables are first compared row by row.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

import measured

PROJECT = Path(__file__).resolve().parent.parent
MADE = ("int_user_history", "int_events_validated", "user_daily", "sampled_features")
MADE += ("churn_labels",)
GOALS = {"models": 1.3, "models and tests": 2.0}
PEAK_GOAL = 6.0
MEMORY = "4.5GB"  # DuckDB's memory limit in each variant; a process also uses memory outside DuckDB
BLOCK = 10  # days per statement, as in macros/increments/day_blocks.sql
REBUILD = ("build", "--full-refresh")


def limit(warehouse: Path, out: Path) -> None:
    """Make the tables of bench/limit.sql in `out` from the raw tables of `warehouse`."""
    with duckdb.connect(str(out)) as db:
        db.execute(f"set memory_limit = '{os.environ['CHURNHOUSE_MEMORY_LIMIT']}'")
        db.execute(f"attach '{warehouse}' as warehouse (read_only)")
        db.execute("create schema raw")
        for name in ("events", "users", "files"):
            db.execute(f"create view raw.{name} as from warehouse.raw.{name}")
        db.execute(f"create table event_types as from '{PROJECT}/seeds/event_types.csv'")
        db.execute((PROJECT / "bench/limit.sql").read_text(encoding="utf-8"))
        first, last = db.execute(
            """
            select min(event_date), least(
                max(event_date), (select max(ingested_at)::date - 1 from raw.files)
            ) from int_events_validated where reject_reason is null
            """
        ).fetchone()
        blocks = [first + timedelta(back) for back in range(0, (last - first).days + 1, BLOCK)]
        for start in blocks:
            end = min(start + timedelta(BLOCK - 1), last)
            db.execute(f"insert into user_daily from user_days(date '{start}', date '{end}')")
        days = [first + timedelta(n) for n in range((last - first).days + 1)]
        sql = "create table sampled_features as"
        for day in [day for day in days if day.isoweekday() == 7]:
            db.execute(f"{sql} from features(date '{day}', date '{day}')")
            sql = "insert into sampled_features"
        db.execute("create table churn_labels as from labels()")


def filled(home: Path, users: int, days: int) -> None:
    """Generate and ingest this many users and days into `home`."""
    measured.run([measured.CHURNHOUSE, "generate", "--users", users, "--days", days], home)
    measured.run([measured.CHURNHOUSE, "ingest"], home)


def rows_that_differ(warehouse: Path, out: Path) -> dict[str, int]:
    """Count, by table, the rows that only one side has."""
    with duckdb.connect() as db:
        db.execute(f"attach '{warehouse}' as ours (read_only); attach '{out}' as lean (read_only)")
        found = {}
        for table in MADE:
            columns = db.execute(f"describe lean.main.{table}").fetchall()
            names = ", ".join(name for name, *_ in columns)
            sides = [
                f"select hash({names}) as h from {side}.main.{table}" for side in ("ours", "lean")
            ]
            sql = "select count(*) from (({} except all {}) union all ({} except all {}))"
            found[table] = db.execute(sql.format(*sides, *reversed(sides))).fetchone()[0]
        return found


def main() -> None:
    """Measure, compare, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--home", type=Path, help="A home with raw data that is ingested already.")
    parser.add_argument("--limit", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("CHURNHOUSE_MEMORY_LIMIT", MEMORY)
    if options.limit:
        return limit(*options.limit)
    folder = Path(tempfile.mkdtemp(prefix="churnhouse-bench-", dir=options.home))
    try:
        _bench(options, folder)
    finally:
        shutil.rmtree(folder)


def _bench(options: argparse.Namespace, folder: Path) -> None:
    home = options.home or folder
    if options.home is None:
        filled(home, options.users, options.days)
    warehouse, out = home / "warehouse.duckdb", folder / "limit.duckdb"
    commands = {
        "by hand (the limit)": [sys.executable, __file__, "--limit", warehouse, out],
        "models": [measured.CHURNHOUSE, *REBUILD, "--exclude-resource-type", "test"],
        "models and tests": [measured.CHURNHOUSE, *REBUILD],
    }
    runs: dict[str, list] = {name: [] for name in commands}
    for _ in range(options.runs):
        for name, command in commands.items():
            if name.startswith("by hand"):
                out.unlink(missing_ok=True)
            runs[name].append(measured.run(command, home))
    differ = rows_that_differ(warehouse, out)
    if any(differ.values()):
        sys.exit(f"the tables are not the same, rows that differ: {differ}")
    with duckdb.connect(str(warehouse), read_only=True) as db:
        user_days = db.execute("select count(*) from user_daily").fetchone()[0]
    _print(runs, user_days, options.runs)


def _print(runs: dict[str, list], user_days: int, count: int) -> None:
    table = Table(title=f"full build, {user_days:,} user-days, median of {count}")
    for column in ("", "wall s", "x limit", "CPU s", "x limit", "peak GB", "goal"):
        table.add_column(column, justify="right" if column else "left")
    base = None
    for name, found in runs.items():
        wall = statistics.median(run.wall for run in found)
        cpu = statistics.median(run.cpu for run in found)
        peak = max(run.peak for run in found)
        base = base or (wall, cpu)
        goal = GOALS.get(name)
        verdict = ""
        if goal:
            held = wall <= goal * base[0] and peak < PEAK_GOAL
            verdict = f"<= {goal}x, < {PEAK_GOAL:.0f} GB: {'holds' if held else 'MISSED'}"
        times = [f"{wall:.1f}", f"{wall / base[0]:.2f}", f"{cpu:.1f}", f"{cpu / base[1]:.2f}"]
        table.add_row(name, *times, f"{peak:.1f}", verdict)
    Console().print(table)


if __name__ == "__main__":
    main()
