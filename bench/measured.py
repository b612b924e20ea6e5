"""Measures what a command uses, as the operating system counts it."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHURNHOUSE = Path(sys.executable).with_name("churnhouse")


@dataclass(frozen=True)
class Used:
    """What a command used, as the operating system counts it, and what it printed."""

    wall: float  # seconds
    cpu: float  # seconds
    peak: float  # highest resident memory, GB
    spill: float  # most that DuckDB had in its temporary folder, GB
    read: int  # bytes
    output: str


def run(command: Sequence[object], home: Path | None = None) -> Used:
    """Run a command, over `home` if given; end the bench if it fails."""
    ended = os.WEXITED | os.WNOWAIT | os.WNOHANG  # keeps its /proc readable
    started, spill = time.monotonic(), 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | ({"CHURNHOUSE_HOME": str(home)} if home else {}),
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        while os.waitid(os.P_PID, process.pid, ended) is None:
            spill = max(spill, _spilled(home) if home else 0)
            time.sleep(0.02)
        wall = time.monotonic() - started
        printed.seek(0)
        output = printed.read()
    told = Path(f"/proc/{process.pid}/io").read_text(encoding="utf-8")
    counts = dict(line.split(": ") for line in told.splitlines())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{output}")
    return Used(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss / 1024**2,
        spill=spill / 1e9,
        read=int(counts["rchar"]),
        output=output,
    )


def _spilled(home: Path) -> int:
    """Return the size of DuckDB's temporary files beside a home's warehouse."""
    size = 0
    for file in (home / "warehouse.duckdb.tmp").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    return size
