"""One call to the disk fails: the last version stays, and the next run makes all good."""

import shutil
import signal
from pathlib import Path

import pytest
from support import faults
from support.homes import churnhouse, copied, files_that_name, rows
from support.processes import check_published
from support.warehouses import differences

COMMANDS = ("ingest", "promote", "publish", "forget")
SAMPLE = 3
"""Faults of each command in every run; `make nightly` tries them all."""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler (cc)")
    return faults.compiled(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module", params=COMMANDS)
def world(request, finished_home: Path, tmp_path_factory):
    """Return a home, a command for it, and a home in which that command ran to its end."""
    folder = tmp_path_factory.mktemp(request.param)
    home = copied(finished_home, folder / "before")
    command = [request.param]
    if request.param == "ingest":
        churnhouse(home, "generate", "--days", 3, "--append")
    if request.param == "promote":
        (home / "models/production.json").unlink()
    if request.param == "forget":
        command.append(rows(home, "select min(user_id) from accepted_users")[0][0])
    return home, command


def _check(world, library: Path, chosen, tmp_path: Path) -> None:
    before, command = world
    reference = copied(before, tmp_path / "reference")
    possible = faults.possible(reference, library, *command)
    assert {fault.call for fault in possible} == {*faults.HOW}
    met, told = 0, []
    for fault in chosen(possible):
        home = faults.fresh(before, tmp_path / "data")
        code, errors = faults.run_with(fault, home, library, *command)
        told.append((fault, code, errors))
        assert code in ((-signal.SIGKILL,) if fault.how == "kill" else (0, 1)), told[-1]
        if code == 1:
            assert "Next: " in errors.splitlines()[-1], told[-1]
            assert "Traceback" not in errors, told[-1]
        met += code != 0
        check_published(home)
        churnhouse(home, *command)
        if command[0] == "forget":
            assert not files_that_name(home, command[1]), told[-1]
        assert not differences(reference, home), told[-1]
        check_published(home)
    assert met > len(told) / 4, told


def test_a_failing_disk_costs_a_run_and_nothing_else(world, library, tmp_path):
    _check(world, library, lambda all_of_them: all_of_them[:: len(all_of_them) // SAMPLE], tmp_path)


@pytest.mark.nightly
def test_every_fault_of_the_disk_costs_a_run_and_nothing_else(world, library, tmp_path):
    _check(world, library, lambda all_of_them: all_of_them, tmp_path)
