"""Compare Spark local[2] with DuckDB: the same job on the same raw files, step by step.

    .venv-spark/bin/python bench/engines.py --users 20000

Both engines run once, one after the other, each in its own process. It prints wall seconds, CPU
seconds of all processes (steadier on a busy machine) and cost per million user-days of history.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

CHURNHOUSE = Path(sys.executable).with_name("churnhouse")
STEPS = ("ingest", "build", "train", "promote", "score", "publish")


def job(home: Path, target: str, *arguments: object) -> dict[str, float]:
    """Return wall seconds per step of a command, and its total wall and CPU seconds."""
    variables = {"CHURNHOUSE_HOME": str(home), "CHURNHOUSE_TARGET": target}
    variables |= {"CHURNHOUSE_SPARK_MASTER": "local[2]", "SPARK_LOCAL_IP": "127.0.0.1"}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        running = subprocess.Popen(
            [CHURNHOUSE, *map(str, arguments)],
            env=os.environ | variables,
            stdout=output,
            start_new_session=True,
        )
        ticks: dict[int, int] = {}
        while running.poll() is None:
            ticks |= _ticks(running.pid)
            time.sleep(0.2)
        output.seek(0)
        said = output.read()
    seconds = sum(ticks.values()) / os.sysconf("SC_CLK_TCK")
    measured = {"wall": time.monotonic() - started, "cpu": seconds}
    if running.returncode:
        sys.exit(f"{target}: {' '.join(map(str, arguments))} failed:\n{said}")
    found = re.findall(r"^(\w+) .* ([\d.]+) s$", said, re.MULTILINE)
    measured |= {name: float(seconds) for name, seconds in found}
    # an interrupted run of hours has then printed its results so far
    print(target, arguments[0], measured, file=sys.stderr, flush=True)
    return measured


def _ticks(session: int) -> dict[int, int]:
    """Return CPU ticks of each process of a session; Spark's outlive the command."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue  # the process has ended
        if int(fields[3]) == session:
            found[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
    return found


def main() -> None:
    """Measure, then print one table per job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=120)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="churnhouse-bench-"))
    try:
        made = folder / "made"
        job(made, "duckdb", "generate", "--users", options.users, "--days", options.days)
        runs = {}
        for target in ("duckdb", "spark"):
            home = folder / target
            shutil.copytree(made, home)
            runs[target] = {"run": job(home, target, "run")}
            job(home, "duckdb", "generate", "--days", 1, "--append")
            runs[target]["daily"] = job(home, target, "daily")
        with duckdb.connect(str(folder / "duckdb/warehouse.duckdb"), read_only=True) as con:
            millions = con.execute("select count(*) / 1e6 from user_daily").fetchone()[0]
    finally:
        shutil.rmtree(folder)
    for name in ("run", "daily"):
        title = f"{name}: {options.users:,} users, {millions:,.2f} million user-days, seconds"
        table = Table(title=title)
        for column in ("step", "duckdb", "spark local[2]", "spark / duckdb", "spark per million"):
            table.add_column(column, justify="left" if column == "step" else "right")
        for step in (*STEPS, "wall", "cpu"):
            duck, spark = (runs[target][name].get(step) for target in ("duckdb", "spark"))
            if duck is None or spark is None:
                continue
            ratio = f"{spark / duck:,.1f}" if duck else ""
            each = f"{spark / millions:,.1f}"
            table.add_row(step, f"{duck:,.1f}", f"{spark:,.1f}", ratio, each)
        Console().print(table)


if __name__ == "__main__":
    main()
