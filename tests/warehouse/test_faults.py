"""One call to the disk fails: the last version stays, and the next run makes all good."""

import shutil
import signal
from pathlib import Path

import pytest
from support import faults
from support.homes import churnhouse, copied, files_that_name, rows
from support.processes import check_published
from support.warehouses import differences

SAMPLE = {"ingest": 0.9, "promote": 0.15, "publish": 0.7, "forget": 0.5}
"""Where in the list of faults the one is that every run tries; `make nightly` tries them all."""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler (cc)")
    return faults.compiled(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module", params=SAMPLE)
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


def _wrong(fault, before: Path, reference: Path, home: Path, library: Path, command) -> str | None:
    """Let one call fail, then run the command again; return what was wrong with either."""
    faults.fresh(before, home)
    code, errors = faults.run_with(fault, home, library, *command)
    if code not in ((-signal.SIGKILL, 0) if fault.how == "kill" else (0, 1)):
        return f"exit code {code}: {errors}"
    if code == 1 and ("Traceback" in errors or "Next: " not in errors.splitlines()[-1]):
        return errors
    check_published(home)
    again = churnhouse(home, *command, check=False)
    if again.returncode:
        return f"the next run: {again.stderr}"
    if command[0] == "forget" and (named := files_that_name(home, command[1])):
        return f"the person is in {named}"
    check_published(home)
    different = differences(reference, home)
    return f"other numbers: {different}" if different else None


def _check(world, library: Path, tmp_path: Path, sample: float | None) -> None:
    before, command = world
    reference = copied(before, tmp_path / "reference")
    possible = faults.possible(reference, library, *command)
    assert {"read", "write", "fsync"} <= {fault.call for fault in possible}
    chosen = [possible[int(sample * len(possible))]] if sample else possible
    home = tmp_path / "data"
    told = {fault: _wrong(fault, before, reference, home, library, command) for fault in chosen}
    wrong = {fault: what for fault, what in told.items() if what}
    assert not wrong, f"{len(wrong)} of {len(told)}: {wrong}"


def test_a_failing_disk_costs_a_run_and_nothing_else(world, library, tmp_path):
    _check(world, library, tmp_path, SAMPLE[world[1][0]])


@pytest.mark.nightly
def test_every_fault_of_the_disk_costs_a_run_and_nothing_else(world, library, tmp_path):
    _check(world, library, tmp_path, None)
