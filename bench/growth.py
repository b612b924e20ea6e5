"""Measure whether the cost of a user-day depends on the number of users.

    .venv/bin/python bench/growth.py --users 20000 60000 200000 600000

All warehouses are filled first. Each run then builds every one of them fully, with every test, so a
change of the machine's speed affects all sizes. The cost is what the build used beyond a build of a
hundred users, which is nearly all start-up. The exponent e is fitted to cost = c * user-days^e
(least squares of the logarithms). With a single size, such as a million users, nothing is fitted.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table

import full_build
import measured

FIXED_USERS = 100
GOAL = 0.20


def size_of(home: Path, used: list[measured.Used]) -> dict[str, float]:
    """Return the user-days of a warehouse and the medians of its full builds."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as db:
        user_days = db.execute("select count(*) from user_daily").fetchone()[0]
    return {
        "user_days": user_days,
        "wall": statistics.median(one.wall for one in used),
        "cpu": statistics.median(one.cpu for one in used),
        "peak": max(one.peak for one in used),
        "spill": max(one.spill for one in used),
        "size": (home / "warehouse.duckdb").stat().st_size,
    }


def built(sizes: list[int], days: int, runs: int) -> list[dict[str, float]]:
    """Measure each number of users in turn."""
    home = Path(tempfile.mkdtemp(prefix="churnhouse-bench-"))
    homes = {users: home / f"{users}" for users in sizes}
    try:
        for users, one in homes.items():
            full_build.filled(one, users, days)
        used = {users: [] for users in sizes}
        for _ in range(runs):
            for users, one in homes.items():
                done = measured.run([measured.CHURNHOUSE, *full_build.REBUILD], one)
                print(f"{users:,} users: {done.wall:.1f} s, {done.cpu:.1f} CPU s", file=sys.stderr)
                used[users].append(done)
        return [{"users": users} | size_of(one, used[users]) for users, one in homes.items()]
    finally:
        shutil.rmtree(home)


def exponent(found: list[dict[str, float]], fixed: dict[str, float], what: str) -> float:
    """Return the power of the user-days by which the cost grows."""
    sizes = np.log([one["user_days"] for one in found])
    costs = np.log([one[what] - fixed[what] for one in found])
    return float(np.polyfit(sizes, costs, 1)[0])


def main() -> None:
    """Measure every size, then print one table and the exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, nargs="+", default=[5_000, 10_000, 20_000])
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    fixed, *found = built([FIXED_USERS, *options.users], options.days, options.runs)
    table = Table(title=f"full build, {options.days} days, median of {options.runs}")
    for column in ("users", "user-days", "wall s", "CPU s", "CPU us each"):
        table.add_column(column, justify="right")
    for column in ("peak GB", "spill GB", "GB on disk"):
        table.add_column(column, justify="right")
    each = []
    for one in [fixed, *found]:
        beyond = (one["cpu"] - fixed["cpu"]) / one["user_days"] * 1e6
        each += [beyond] if one is not fixed else []
        table.add_row(
            *(f"{one['users']:,}", f"{one['user_days']:,}", f"{one['wall']:.1f}"),
            *(f"{one['cpu']:.1f}", "start-up" if one is fixed else f"{beyond:.1f}"),
            *(f"{one['peak']:.1f}", f"{one['spill']:.1f}", f"{one['size'] / 1e9:.2f}"),
        )
    Console().print(table)
    if any(one[what] <= fixed[what] for one in found for what in ("cpu", "wall")):
        print("growth: a size is lost in the start-up. Next: measure more users.")
    elif len(found) > 1:
        spread = max(each) / min(each) - 1
        verdict = "holds" if spread <= GOAL else "MISSED"
        print(f"cost of a user-day: {spread:.0%} apart, goal within {GOAL:.0%}: {verdict}")
        wall, cpu = (exponent(found, fixed, what) for what in ("wall", "cpu"))
        print(f"cost grows with user-days to the power of {cpu:.3f} (CPU), {wall:.3f} (wall)")


if __name__ == "__main__":
    main()
