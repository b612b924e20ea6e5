"""Files of the registry that are pipes or damaged: one line that names them, and no wait."""

import os
import shutil
from pathlib import Path

from support.homes import churnhouse, refused
from support.processes import within

from python_jobs.registry import store


def piped(path: Path) -> None:
    """Put a pipe in place of a file: whoever opens it plainly waits for ever."""
    path.unlink()
    os.mkfifo(path)


def test_a_pipe_as_production_json_is_named(home):
    piped(home / "models/production.json")
    with within(60):
        line = refused(home, "models")
    assert "production.json cannot be read (it is no regular file). Next: restore it" in line


def test_a_pipe_as_manifest_makes_its_version_the_oldest(home):
    (version,) = store.versions(home / "models")
    older = "2020-01-01T000000Z-00000000"
    shutil.copytree(home / "models" / version, home / "models" / older)
    piped(home / "models" / older / "manifest.json")
    with within(60):
        assert store.versions(home / "models") == [older, version]
        assert churnhouse(home, "score").returncode == 0


def test_a_pipe_as_the_key_of_persons_is_named(home):
    piped(home / "person.key")
    with within(60):
        line = refused(home, "publish")
    assert "person.key cannot be read (it is no regular file). Next: restore it" in line
