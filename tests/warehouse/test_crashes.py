"""kill -9 at any moment: the published version stays complete and the next run succeeds."""

import random
import re
import shutil
from pathlib import Path

import pytest
from support.homes import churnhouse, copied
from support.processes import check_published, killed, start
from support.warehouses import differences

STEPS = ("ingest", "build", "train", "promote", "score", "publish")
RANDOM = random.Random()
QUICK = ("--time-budget", 0)
"""Without a search for parameters."""


@pytest.fixture(scope="module")
def news(finished_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the finished home with three more days to ingest."""
    home = tmp_path_factory.mktemp("news") / "data"
    copied(finished_home, home)
    churnhouse(home, "generate", "--days", 3, "--append")
    return home


@pytest.fixture(scope="module")
def undisturbed(news: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A home whose run went to its end, and the seconds of each step."""
    home = copied(news, tmp_path_factory.mktemp("undisturbed") / "data")
    out, err = start(home, "run", *QUICK).communicate()
    lines = [re.match(r"(\w+) .* ([\d.]+) s$", line) for line in out.splitlines()]
    assert lines, err
    return home, {found[1]: float(found[2]) for found in lines if found}


def test_killed_command_succeeds_when_run_again(news, undisturbed, tmp_path: Path):
    """Kill every command once at a random moment, then run it again."""
    reference, seconds = undisturbed
    home = copied(news, tmp_path / "data")
    told = []
    for step in STEPS:
        # kill publish in its last part, which writes the version
        after = "score" if step == "publish" else None
        delay = RANDOM.uniform(0, seconds[step] + 0.1)
        command = (step, *(QUICK if step == "train" else ()))
        before = shutil.copytree(home, tmp_path / f"before_{step}", symlinks=True)
        for share in (1, 0.5, 0.25, 0):  # where it had ended by then, once more and sooner
            if was_killed := killed(home, *command, after=after, delay=delay * share):
                break
            shutil.rmtree(home)
            shutil.copytree(before, home, symlinks=True)
        told.append((step, delay, was_killed))
        check_published(home)
        churnhouse(home, "status")
        churnhouse(home, *command)
    assert sum(was_killed for *_, was_killed in told) >= 4, told
    assert not differences(reference, home), told
    assert check_published(home)["as_of_date"] == check_published(reference)["as_of_date"]


@pytest.mark.nightly
def test_next_run_completes_what_thirty_killed_runs_left(news, undisturbed, tmp_path: Path):
    """Kill `churnhouse run` in every step in turn, at a random moment."""
    reference, seconds = undisturbed
    steps = list(seconds)
    assert steps == [*STEPS]
    told = []
    for number in range(30):
        home = copied(news, tmp_path / str(number) / "data")
        at = number % len(steps)
        after = steps[at - 1] if at else None
        delay = RANDOM.uniform(0, seconds[steps[at]] + 0.1)
        told.append((steps[at], delay, killed(home, "run", *QUICK, after=after, delay=delay)))
        check_published(home)
        churnhouse(home, "run", *QUICK)
        assert not differences(reference, home), told[-1]
        assert check_published(home)["as_of_date"] == check_published(reference)["as_of_date"]
        shutil.rmtree(home)
    assert sum(was_killed for *_, was_killed in told) >= 20, told
