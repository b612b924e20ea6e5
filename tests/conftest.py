"""Real homes for the tests: built once a run, by the real command; copied where one writes."""

import os
from pathlib import Path

import hypothesis
import pytest
from support.homes import built_once, churnhouse, copied
from support.tiny import Tiny

# Tests read what a person reads; test_job_log.py reads the log's other form.
os.environ["CHURNHOUSE_LOG_FORMAT"] = "text"

# A slow machine is no reason to fail. What a change has to pass draws the same examples each time;
# `make nightly` draws others.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def finished_home(shared: Path) -> Path:
    """A home after the main job over 300 users x 120 days. Read it; copy it to change it."""

    def run(home: Path) -> None:
        churnhouse(home, "run", "--users", 300, "--time-budget", 0)

    return built_once(shared, "finished", run)


@pytest.fixture
def home(finished_home: Path, tmp_path: Path) -> Path:
    """A copy of the finished home, for one test to change."""
    return copied(finished_home, tmp_path / "data")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """An empty warehouse of the tiny domain."""
    return Tiny(tmp_path / "data")
