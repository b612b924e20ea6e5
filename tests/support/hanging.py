"""Starts the API on a disk that may hang, as a network volume does that does not answer.

Opening a file, or asking for its facts, lasts as long as a file lies beside it with the same name
and `.hangs` behind.
"""

import contextlib
import os
import runpy
import sys
import time
from pathlib import Path

stat, lstat = os.stat, os.lstat


def hang(path: Path) -> Path:
    """Let a file hang; return what to remove so that it answers again."""
    mark = path.with_name(f"{path.name}.hangs")
    mark.touch()
    return mark


def _wait(path: object) -> None:
    with contextlib.suppress(OSError, ValueError):
        while isinstance(path, str | os.PathLike) and lstat(f"{os.fspath(path)}.hangs"):
            time.sleep(0.05)


def _stat(path: object, **options: object) -> os.stat_result:
    _wait(path)
    return stat(path, **options)


def _before(event: str, arguments: tuple) -> None:
    if event == "open":
        _wait(arguments[0])


if __name__ == "__main__":
    os.stat = _stat
    sys.addaudithook(_before)
    sys.path[0] = str(Path.cwd())
    runpy.run_module("api", run_name="__main__", alter_sys=True)
