"""Published files that are pipes or damaged: one line that names them, and no wait."""

import os
from pathlib import Path

import pytest
from support.homes import churnhouse, refused
from support.processes import within


def piped(path: Path) -> None:
    """Put a pipe in place of a file: whoever opens it plainly waits for ever."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def test_an_older_version_with_a_pipe_as_manifest_does_not_stop_publishing(home):
    (home / "published/zz").mkdir()
    piped(home / "published/zz/manifest.json")
    before = (home / "published/current").readlink()
    with within(120):
        churnhouse(home, "publish")
    assert (home / "published/current").readlink() != before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("manifest.json", "manifest.json cannot be read (it is no regular file)."),
        ("words.json", "words.json is missing or is not the file that was published."),
    ],
)
def test_a_pipe_in_the_current_version_is_named(home, name, said):
    piped(home / "published/current" / name)
    with within(60):
        assert said in refused(home, "status")
