"""Measure time and memory of scoring (read, score, explain, write), beside scikit-learn.

    .venv/bin/python bench/scoring.py --home data --users 1000000

The users are copies of those of a finished home; the model is its production model. The job runs in
its own process. For comparison, the same matrix is scored with the model's file and with
scikit-learn's predict_proba, on one thread and on all threads.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
from threadpoolctl import threadpool_limits

import measured
from python_jobs.ingest import domain as domains
from python_jobs.ingest.words import of_domain
from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.scoring.duckdb_score import churn_scores
from python_jobs.settings import Settings
from python_jobs.training.estimators import churn_risk
from scaled_home import scaled


def child(home: Path) -> None:
    """Score in this process."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        started = time.monotonic()
        con.execute(
            "create or replace table user_values as select user_id, as_of_date,"
            " 100.0::double as value_per_horizon, 1.0::double as horizons from user_features_latest"
        )
        words = of_domain(domains.load("elearning", Settings(home=home)).vars)
        found = churn_scores(con, Settings(home=home), "user_features_latest", "user_values", words)
        found.create("churn_scores")
        seconds = time.monotonic() - started
        users, told = con.execute("select count(*), count(reason_3) from churn_scores").fetchone()
    print(f"churn_scores: {seconds:.1f} s for {users:,} users, {told:,} with three reasons")


def side_by_side(home: Path) -> None:
    """Score the same matrix with the ONNX file and with scikit-learn."""
    models = home / "models"
    version = store.production(models).version
    features = store.read_features(models, version)
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        chunks = features.chunks(con, ["f.user_id"], "from user_features_latest as f")
        matrix = np.concatenate([part for _, part in chunks])
    expected = store.read_manifest(models, version)["files"]["model.onnx"]
    session = onnx_model.load(models / version / "model.onnx", expected)
    model = store.load_joblib(models, version)
    started = time.monotonic()
    ours = np.concatenate([onnx_model.score(session, part) for part in _parts(matrix)])
    print(f"ONNX, one thread: {time.monotonic() - started:.1f} s")
    for threads in (1, os.cpu_count()):
        with threadpool_limits(threads):
            started = time.monotonic()
            theirs = np.concatenate([churn_risk(model, part) for part in _parts(matrix)])
        seconds = time.monotonic() - started
        print(f"scikit-learn's predict_proba, {threads} thread(s): {seconds:.1f} s")
    print(f"largest difference {np.abs(ours - theirs).max():.1e}")


def _parts(matrix: np.ndarray) -> list[np.ndarray]:
    return [matrix[first : first + 32_768] for first in range(0, len(matrix), 32_768)]


def main() -> None:
    """Make the home, score in a child, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path("data"))
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    with tempfile.TemporaryDirectory(prefix="churnhouse-bench-") as folder:
        home = Path(folder)
        scaled(options.home, home, "user_features_latest", options.users)
        shutil.copytree(options.home / "models", home / "models")
        used = measured.run([sys.executable, __file__, "--child", folder])
        print(f"{used.output}its process: {used.cpu:.1f} CPU s, imports included, ", end="")
        print(f"peak {used.peak:.2f} GB")
        side_by_side(home)


if __name__ == "__main__":
    main()
