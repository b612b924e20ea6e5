"""Measure the main job's time and memory, step by step, beside the reference's times.

    .venv/bin/python bench/main_job.py --users 2000 20000 --runs 3

Each run starts in an empty home, in its own process. Prints median wall seconds and the peak memory
of the whole process. The reference (the same system in pandas over CSV files) is not run again; its
step times below were measured on two shared cores.
"""

import argparse
import re
import statistics
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import measured

STEPS = ("generate", "ingest", "build", "train", "promote", "score", "publish")
REFERENCE = {  # seconds, summed over its matching steps
    2_000: {
        "generate": 13,
        "ingest": 1.1,
        "build": 128 + 11 + 3.4,
        "train": 8.9 + 6.9 + 9.8,
        "score": 2.8,
        "total": 188,
    },
    20_000: {
        "generate": 137,
        "ingest": 8,
        "build": 1317 + 133 + 38,
        "train": 94 + 40 + 128,
        "score": 26,
        "total": 1956,
    },
}


def one_run(users: int) -> dict[str, float]:
    """Return seconds per step, total seconds and peak memory in GB of a run in an empty home."""
    with tempfile.TemporaryDirectory(prefix="churnhouse-bench-") as folder:
        used = measured.run([measured.CHURNHOUSE, "run", "--users", users], Path(folder) / "data")
    steps = dict(re.findall(r"^(\w+) .* ([\d.]+) s$", used.output, re.MULTILINE))
    return {name: float(steps[name]) for name in STEPS} | {"total": used.wall, "peak GB": used.peak}


def main() -> None:
    """Measure, then print one table per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, nargs="+", default=[2_000])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for users in options.users:
        runs = [one_run(users) for _ in range(options.runs)]
        reference = REFERENCE.get(users, {})
        table = Table(title=f"{users:,} users x 120 days, median of {options.runs}")
        for column in ("step", "seconds", "reference", "times faster"):
            table.add_column(column, justify="left" if column == "step" else "right")
        for name in runs[0]:
            value = statistics.median(run[name] for run in runs)
            known = reference.get(name)
            faster = f"{known / value:.1f}" if known and value else ""
            table.add_row(name, f"{value:.1f}", f"{known:,.0f}" if known else "", faster)
        Console().print(table)


if __name__ == "__main__":
    main()
