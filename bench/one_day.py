"""What one more day costs beside the full build, and whether that depends on the history.

    .venv/bin/python bench/one_day.py --users 200000 --days 60 360 --runs 3

For each length of history a warehouse is filled and built fully; then, run by run, one more day is
generated and ingested, and `churnhouse build` with every test is measured: wall and CPU seconds,
bytes read by the process and rows written, of which the last two do not depend on the machine.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

DAY_TABLES = {"user_daily": "day", "user_features_daily": "as_of_date"}
SHARE_GOAL, GROWTH_GOAL = 0.06, 0.15
CALL = """
import atexit, json, os, resource, sys
def say():
    used = resource.getrusage(resource.RUSAGE_SELF)
    io = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
    facts = {"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss, "read": int(io["rchar"])}
    with open(os.environ["BENCH_FACTS"], "w") as file:
        json.dump(facts, file)
atexit.register(say)
from python_jobs.cli import main
sys.argv = ["churnhouse", *sys.argv[1:]]
main()
"""


def run(home: Path, *arguments: object) -> dict[str, float]:
    """Run the command; its wall and CPU seconds, bytes read and peak GB."""
    facts = home / "bench.json"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CALL, *map(str, arguments)],
        env=os.environ | {"CHURNHOUSE_HOME": str(home), "BENCH_FACTS": str(facts)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    wall = time.monotonic() - started
    if done.returncode:
        sys.exit(f"churnhouse {' '.join(map(str, arguments))} failed:\n{done.stdout}")
    found = json.loads(facts.read_text())
    return {
        "wall": wall,
        "cpu": found["cpu"],
        "read": found["read"],
        "peak": found["peak"] / 1024**2,
    }


def rows_written(home: Path) -> int:
    """Rows of the day tables from the first day that the last build wrote."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        rewrite_from = db.execute("select rewrite_from from build_window").fetchone()[0]
        return sum(
            db.execute(f"select count(*) from {t} where {day} >= ?", [rewrite_from]).fetchone()[0]
            for t, day in DAY_TABLES.items()
        )


def measure(users: int, days: int, runs: int) -> dict[str, float]:
    """The full build and the median of `runs` more days, for one length of history."""
    home = Path(tempfile.mkdtemp(prefix="churnhouse-bench-"))
    try:
        run(home, "generate", "--users", users, "--days", days)
        run(home, "ingest")
        full = run(home, "build")
        more = []
        for _ in range(runs):
            run(home, "generate", "--days", 1, "--append")
            run(home, "ingest")
            more.append(run(home, "build") | {"rows": rows_written(home)})
    finally:
        shutil.rmtree(home)
    return {
        "days": days,
        "full": full,
        **{name: statistics.median(one[name] for one in more) for name in more[0]},
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
    columns = ("history", "full s", "day s", "share", "full CPU", "day CPU", "share")
    for column in (*columns, "read MB", "rows", "peak GB"):
        table.add_column(column, justify="right")
    for one in found:
        full = one["full"]
        table.add_row(
            f"{one['days']}",
            *(f"{full['wall']:.1f}", f"{one['wall']:.1f}", f"{one['wall'] / full['wall']:.1%}"),
            *(f"{full['cpu']:.1f}", f"{one['cpu']:.1f}", f"{one['cpu'] / full['cpu']:.1%}"),
            *(f"{one['read'] / 1e6:,.0f}", f"{one['rows']:,.0f}", f"{one['peak']:.1f}"),
        )
    Console().print(table)
    shares = [one["wall"] / one["full"]["wall"] for one in found if one["days"] == 120]
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
