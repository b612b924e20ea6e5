"""Measure time and memory of training on many rows.

    .venv/bin/python bench/training.py --home data --rows 1000000

The rows are copies of a finished home's evaluation_set under new user ids. Training runs in its own
process: read, search, fit, judge, explain, report, register.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

import measured
from python_jobs.settings import Settings
from python_jobs.training.metrics import Campaign
from scaled_home import scaled


def child(home: Path) -> None:
    """Train in this process, printing each step with its time."""
    from python_jobs.ingest import domain
    from python_jobs.registry.register import register
    from python_jobs.training.feature_facts import explained_features
    from python_jobs.training.train import read_inputs, train

    started = time.monotonic()
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        settings = domain.load("elearning", Settings()).vars
        inputs = read_inputs(
            con,
            horizon_days=30,
            explained=explained_features(settings),
            attributes=settings.learned_attributes,
            campaign=Campaign(5, 0.1, 100),
        )
        trained = train(
            inputs,
            progress=lambda line: print(f"{time.monotonic() - started:7.1f} s  {line}", flush=True),
        )
        register(con, Settings(home=home).models, trained, now=datetime.now(UTC))


def main() -> None:
    """Make the home, train in a child, print seconds and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path("data"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    with tempfile.TemporaryDirectory(prefix="churnhouse-bench-") as folder:
        rows = scaled(options.home, Path(folder), "evaluation_set", options.rows)
        print(f"{rows:,} rows")
        used = measured.run([sys.executable, __file__, "--child", folder])
        print(
            f"{used.output}training: {used.wall:.1f} s with imports, {used.cpu:.1f} CPU s, ", end=""
        )
        print(f"peak {used.peak:.2f} GB")


if __name__ == "__main__":
    main()
