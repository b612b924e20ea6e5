"""Lines on a terminal of 80 columns are wrapped between words; files get them whole."""

import io
import re

import pytest
from rich.console import Console

from python_jobs import terminal

WORDS = "average precision within dates 0.9003, 0.8869 of recency and [not markup] " * 3


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def shown(request, monkeypatch):
    """Print to a console; give the lines and whether it is a terminal."""
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=request.param, highlight=False)
    monkeypatch.setattr(terminal, "console", console)
    monkeypatch.setattr(terminal, "errors", console)

    def lines() -> list[str]:
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
        return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]

    return lines, request.param


def test_long_lines_of_notes_and_failures(shown):
    lines, is_terminal = shown
    terminal.note(WORDS)
    terminal.note(WORDS, "warning")
    terminal.failed(WORDS)
    if is_terminal:
        assert len(lines()) >= 9 and max(map(len, lines())) <= 80
        assert all(line.startswith("  ") for line in lines()[:3])
    else:
        assert lines() == [
            f"{start}{WORDS}".rstrip() for start in ("  ", "warning: ", "churnhouse: ")
        ]
    assert " ".join(" ".join(lines()).split()).count(" ".join(WORDS.split())) == 3


def test_a_long_result_of_a_step(shown):
    lines, is_terminal = shown
    with terminal.step("promote") as step:
        step.result = WORDS.strip()
    if is_terminal:
        assert "average" in lines()[-4] and lines()[-1].endswith(" s")
        assert max(map(len, lines())) <= 80
    else:
        (line,) = lines()
        assert WORDS.strip() in line and line.endswith(" s")
