"""Runs the real command in processes that tests watch, limit or kill."""

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from python_jobs.settings import PROJECT

COMMAND = Path(sys.executable).with_name("churnhouse")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def start(home: Path, *arguments: object, **options) -> subprocess.Popen:
    """Start the command; its lines can be read as it writes them."""
    return subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        env=os.environ | {"CHURNHOUSE_HOME": str(home), "COLUMNS": "80"},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise AssertionError if the block lasts longer, also while it waits for a pipe."""

    def late(*_: object) -> None:
        raise AssertionError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def running(home: Path, *arguments: object) -> Iterator[subprocess.Popen]:
    """Yield a running command that holds the warehouse; kill it at the end of the block."""
    process = start(home, *arguments)
    try:
        wait_for_lock(home, process)
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_lock(home: Path, process: subprocess.Popen) -> None:
    """Return when the process holds the warehouse, or has ended."""
    while process.poll() is None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads((home / "warehouse.lock").read_text())["pid"] == process.pid:
                return
        time.sleep(0.002)


def killed(home: Path, *arguments: object, after: str | None, delay: float) -> bool:
    """Kill a command `delay` seconds after it took the lock, or after its line on a step.

    Return False if it had already succeeded.
    """
    process = start(home, *arguments)
    wait_for_lock(home, process)
    while after and (line := process.stdout.readline()) and not line.startswith(after):
        pass
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    process.send_signal(signal.SIGKILL)
    output = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), output
    assert "leaked" not in output[1]
    return process.returncode != 0


def check_published(home: Path) -> dict:
    """Check that the current version is complete and matches its manifest; return that."""
    folder = (home / "published/current").resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["version"] == folder.name
    assert {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()
    } == {*manifest["files"], "manifest.json"}
    for name, facts in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"], name
    files = manifest["files"]
    with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as copy:
        for table, rows in files["churnhouse.duckdb"]["rows"].items():
            assert copy.execute(f"select count(*) from {table}").fetchone() == (rows,)
    with contextlib.closing(sqlite3.connect(f"file:{folder}/lookup.sqlite?mode=ro", uri=True)) as s:
        for table, rows in files["lookup.sqlite"]["rows"].items():
            assert s.execute(f"select count(*) from {table}").fetchone() == (rows,)
    return manifest


def without_rights() -> None:
    """Make file permissions apply to root too; runs in the child before its command."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            assert libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0


def refused_without_rights(home: Path, *arguments: object) -> str:
    """Run a command that must fail as one who is not root; give its one line."""
    process = start(home, *arguments, preexec_fn=without_rights)
    out, err = process.communicate()
    assert process.returncode == 1, out + err
    (line,) = err.splitlines()
    assert "Next: " in line
    return line
