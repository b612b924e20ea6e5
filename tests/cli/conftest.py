"""Runs a command in this process, like main() but without exiting."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from python_jobs.cli import execute


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """Return the one line on stderr of a command that must have failed."""
        assert self.code == 1, self
        (line,) = self.err.splitlines()
        assert line.startswith("churnhouse: ") and " Next: " in line, line
        return line


@pytest.fixture
def command(monkeypatch, capsys, tmp_path: Path) -> Callable[..., Done]:
    """Run a command on an empty home; settings are named without CHURNHOUSE_."""
    monkeypatch.setenv("CHURNHOUSE_HOME", str(tmp_path / "data"))

    def run(*arguments: str, **settings: object) -> Done:
        for name, value in settings.items():
            monkeypatch.setenv(f"CHURNHOUSE_{name}", str(value))
        code = execute(arguments)
        return Done(code, *capsys.readouterr())

    return run
