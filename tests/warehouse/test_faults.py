"""One call to the disk fails: the last version stays, and the next run makes all good.

Tried are the first, the middle and the last call of each kind of file, in each way that it can
fail. Every run tries one fault of each command, which the hash of the jobs' code chooses, so that
each change of it tries another. `make nightly` tries all, some 1,600; with FAULT_PART=k/n every
n-th from the k-th on, so that n machines share them.
"""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import faults
from support.homes import churnhouse, copied, files_that_name, rows
from support.processes import check_published
from support.warehouses import differences

COMMANDS = ("ingest", "promote", "publish", "forget")


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


def _wrong(fault, before: Path, reference: Path, home: Path, library: Path, command) -> str | None:
    """Let one call fail, then run the command again; return what was wrong with either.

    Where a run made fewer calls than the one before, an earlier call fails in another run.
    """
    for _ in range(3):
        faults.fresh(before, home)
        code, errors, was_made = faults.run_with(fault, home, library, *command)
        if was_made:
            break
        fault = replace(fault, number=max(1, fault.number * 9 // 10))
    else:
        return f"the call was never made, exit code {code}: {errors}"
    if code not in ((-signal.SIGKILL,) if fault.how == "kill" else (0, 1)):
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


def _check(
    world, library: Path, tmp_path: Path, choose: Callable[[list[faults.Fault]], list[faults.Fault]]
) -> None:
    before, command = world
    reference = copied(before, tmp_path / "reference")
    possible = faults.possible(reference, library, *command)
    assert {"read", "write", "fsync"} <= {fault.call for fault in possible}
    home = tmp_path / "data"
    told = {
        fault: _wrong(fault, before, reference, home, library, command)
        for fault in choose(possible)
    }
    wrong = {fault: what for fault, what in told.items() if what}
    assert told and not wrong, f"{len(wrong)} of {len(told)}, code {faults.source()[:8]}: {wrong}"


def test_a_failing_disk_costs_a_run_and_nothing_else(world, library, tmp_path):
    seed = f"{faults.source()} {world[1][0]}"
    _check(world, library, tmp_path, lambda possible: [faults.chosen(possible, seed)])


@pytest.mark.nightly
def test_every_fault_of_the_disk_costs_a_run_and_nothing_else(world, library, tmp_path):
    _check(world, library, tmp_path, faults.part)
