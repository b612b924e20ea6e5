"""Text files name their encoding, the clock is read in one place, Arrow stays optional."""

import ast
import re

from support.homes import PROJECT

CODE = [path for room in ("python_jobs", "api", "bench") for path in (PROJECT / room).rglob("*.py")]


def leaves_the_encoding_open(call: ast.Call) -> bool:
    """Return whether a call takes its encoding from the locale."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    owner = getattr(getattr(call.func, "value", None), "id", "")
    given = {keyword.arg for keyword in call.keywords}
    if "encoding" in given:
        return False
    if given & {"text", "universal_newlines"} or name in ("read_text", "write_text"):
        return True
    is_binary = any(isinstance(a, ast.Constant) and "b" in str(a.value) for a in call.args)
    return name == "open" and owner not in ("os", "packed", "tarfile") and not is_binary


def test_every_text_file_is_opened_with_an_encoding():
    open_ended = [
        f"{path.relative_to(PROJECT)}:{call.lineno}"
        for path in CODE
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and leaves_the_encoding_open(call)
    ]
    assert not open_ended


def test_the_jobs_read_the_clock_in_one_place():
    reads = re.compile(r"datetime\.now|date\.today|utcnow|\btime\.time\(|current_date")
    readers = {
        path.relative_to(PROJECT).as_posix()
        for path in CODE
        if path.is_relative_to(PROJECT / "python_jobs")
        and reads.search(path.read_text(encoding="utf-8"))
    }
    # the lock records when it was taken, and the log when a line was written; nothing depends on it
    own_times = {"python_jobs/warehouse/lock.py", "python_jobs/terminal.py"}
    assert readers == {"python_jobs/pipeline.py", *own_times}


def test_only_readers_of_extras_need_arrow():
    uses = {
        path.relative_to(PROJECT).as_posix()
        for path in CODE
        if path.is_relative_to(PROJECT / "python_jobs") or path.is_relative_to(PROJECT / "api")
        if re.search(r"(_|py|\.)arrow", path.read_text(encoding="utf-8"))
    }
    assert uses == {"python_jobs/ingest/databases.py", "python_jobs/scoring/spark_score.py"}
