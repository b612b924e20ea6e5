"""Runs the real command while one of its calls to the disk fails (faults.c)."""

import errno
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from python_jobs.settings import PROJECT
from support.processes import COMMAND

SOURCE = Path(__file__).with_name("faults.c")
# What changes from run to run in a file's name: times, hashes, numbers.
CHANGING = re.compile(r"\d{4}-\d\d-\d\d(T\d{6}Z-[0-9a-f]{8}|[T0-9Z-]*)|[0-9a-f]{16,}|\d+")
WORK_OF_DBT = re.compile(r"^dbt/target/.*")
HOW = {
    "write": {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "short": "short", "kill": "kill"},
    "fsync": {"EIO": errno.EIO, "kill": "kill"},
    "rename": {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "kill": "kill"},
    "read": {"EIO": errno.EIO, "short": "short", "kill": "kill"},
}


@dataclass(frozen=True)
class Fault:
    """The n-th call of a kind on the files of a pattern, and how it fails."""

    call: str
    path: str
    number: int
    how: str


def compiled(folder: Path) -> Path:
    """Return the library to preload."""
    library = folder / "faults.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library


def run(home: Path, library: Path, *command: object, **variables: str) -> tuple[int, str]:
    """Run a command with the library preloaded; return its exit code and what it said of errors."""
    done = subprocess.run(
        [COMMAND, *map(str, command)],
        env=os.environ
        | {"CHURNHOUSE_HOME": str(home), "LD_PRELOAD": str(library), "FAULT_ROOT": str(home)}
        | variables,
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


def run_with(fault: Fault, home: Path, library: Path, *command: object) -> tuple[int, str, bool]:
    """Run a command in which one call fails; return as `run` does, and whether the call was made.

    Threads that write one file need not make as many calls each time.
    """
    mark = home.with_suffix(".mark")
    mark.unlink(missing_ok=True)
    code, errors = run(
        home,
        library,
        *command,
        FAULT_CALL=fault.call,
        FAULT_PATH=fault.path,
        FAULT_NUMBER=str(fault.number),
        FAULT_HOW=str(HOW[fault.call][fault.how]),
        FAULT_MARK=str(mark),
    )
    return code, errors, mark.exists()


def possible(home: Path, library: Path, *command: object) -> list[Fault]:
    """Run a command to its end; return its faults.

    They are those of the first, the middle and the last call of each kind of file.
    """
    log = home.with_suffix(".calls")
    code, errors = run(home, library, *command, FAULT_LOG=str(log))
    assert code == 0, errors
    calls: dict[tuple[str, str], list[bool]] = {}
    for line in log.read_text().splitlines():
        call, hint, path = line.split(" ", 2)
        place = CHANGING.sub("*", WORK_OF_DBT.sub("dbt/target/*", path))
        calls.setdefault((call, place), []).append(hint == "short")
    return [
        Fault(call, path, number, how)
        for (call, path), can_be_short in sorted(calls.items())
        for number in sorted({1, (len(can_be_short) + 1) // 2, len(can_be_short)})
        for how in HOW[call]
        if how != "short" or can_be_short[number - 1]
    ]


def source() -> str:
    """Return a hash of the jobs' code."""
    code = hashlib.sha256()
    for path in sorted((PROJECT / "python_jobs").rglob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


def chosen(faults: list[Fault], seed: str) -> Fault:
    """Return one of the faults, another one for another seed."""
    return faults[int(hashlib.sha256(seed.encode()).hexdigest(), 16) % len(faults)]


def part(faults: list[Fault]) -> list[Fault]:
    """Return every n-th fault from the k-th on for FAULT_PART=k/n; all without it."""
    number, parts = map(int, os.environ.get("FAULT_PART", "1/1").split("/"))
    assert 1 <= number <= parts, "FAULT_PART is k/n, such as 1/8"
    return faults[number - 1 :: parts]


def fresh(source: Path, home: Path) -> Path:
    """Return a home as `source`, in place of what is at `home`."""
    shutil.rmtree(home, ignore_errors=True)
    return Path(shutil.copytree(source, home, symlinks=True))
