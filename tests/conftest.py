"""Real homes for the tests: built once a process, by the real command; copied where one writes."""

import shutil
from pathlib import Path

import hypothesis
import pytest
from support.homes import churnhouse
from support.tiny import Tiny

# A slow machine is no reason to fail.
hypothesis.settings.register_profile("no_deadline", deadline=None)
hypothesis.settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after the main job over 300 users x 120 days. Read it; copy it to change it."""
    home = tmp_path_factory.mktemp("finished") / "data"
    churnhouse(home, "run", "--users", 300)
    return home


@pytest.fixture
def home(finished_home: Path, tmp_path: Path) -> Path:
    """A copy of the finished home, for one test to change."""
    copy = tmp_path / "data"
    shutil.copytree(finished_home, copy, symlinks=True)
    return copy


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """An empty warehouse of the tiny domain."""
    return Tiny(tmp_path / "data")
