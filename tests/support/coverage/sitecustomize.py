"""Count the lines and branches that this process runs, and save them when it ends.

`make unit` puts this folder on PYTHONPATH, so every Python process of the tests imports this file
when it starts. report_coverage.py adds up what they saved in COVERAGE_FOLDER.
"""

import ast
import atexit
import contextlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = [ROOT / "python_jobs", ROOT / "api"]


def count(folder: Path) -> None:
    """Start counting. Only our own files are instrumented."""
    import slipcover

    _parse_in_one_thread_at_a_time()
    # what has run stays instrumented: taking it out again is not safe beside other threads
    counter = slipcover.Slipcover(branch=True, d_miss_threshold=2**31 - 1)
    slipcover.ImportManager(counter, slipcover.FileMatcher(sources=PACKAGES)).__enter__()
    end_at_once = os._exit

    def save() -> None:
        files = counter.get_coverage()["files"].items()
        ran = {
            str(Path(name).resolve()): [file["executed_lines"], file["executed_branches"]]
            for name, file in files
        }
        (folder / f"{os.getpid()}.json").write_text(json.dumps(ran), encoding="utf-8")

    def save_and_exit(status: int) -> None:
        with contextlib.suppress(Exception):
            save()
        end_at_once(status)

    def save_and_terminate(number: int, _: object) -> None:
        save()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    atexit.register(save)
    os._exit = save_and_exit  # the command and forked processes end with os._exit
    signal.signal(signal.SIGTERM, save_and_terminate)  # how servers are stopped


def _parse_in_one_thread_at_a_time() -> None:
    """Slipcover parses what is imported, and dbt imports in threads beside its own parsing.

    Python 3.11 counts the depth of both trees together, and fails with a SystemError.
    """
    parse, lock = ast.parse, threading.RLock()

    def parse_alone(*args: Any, **options: Any) -> ast.AST:
        with lock:
            return parse(*args, **options)

    ast.parse = parse_alone


# Another environment, such as that of Spark, has no slipcover and is not counted.
if "COVERAGE_FOLDER" in os.environ:
    with contextlib.suppress(ImportError):
        count(Path(os.environ["COVERAGE_FOLDER"]))
