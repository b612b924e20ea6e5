"""The command line: wrong usage gives one line that says what to do, and exit code 1."""

import subprocess
import sys

import pytest
from support.homes import PROJECT

from python_jobs import cli
from python_jobs.commands import jobs

WRONG = {
    "frobnicate": "No such command 'frobnicate'. Next: see `churnhouse --help`.",
    "generat": "Did you mean 'generate'? Next: see `churnhouse --help`.",
    "--frob": "No such option: --frob",
    "train --frob": "No such option: --frob. Next: see `churnhouse train --help`.",
    "train now": "unexpected extra argument",
    "approve": "Missing argument 'version'. Next: see `churnhouse approve --help`.",
    "generate --users": "requires an argument",
    "generate --users x": "'x' is no whole number of 1 or more",
    "generate --users 0": "'0' is no whole number of 1 or more",
    "generate --users -5": "'-5' is no whole number of 1 or more",
    "generate --days 0": "'0' is no whole number of 1 or more",
    "generate --days 1.5": "'1.5' is no whole number of 1 or more",
    "generate --seed x": "'x' is no whole number from 0 to 4294967295",
    "generate --start yesterday": "'yesterday' is no date like 2025-03-01",
    "train --seed -1": "'-1' is no whole number from 0 to 4294967295",
    "train --seed 4294967296": "'4294967296' is no whole number from 0 to 4294967295",
    "train --time-budget -1": "'-1' is no number of seconds",
    "train --time-budget nan": "'nan' is no number of seconds",
    "train --time-budget inf": "'inf' is no number of seconds",
    "build --from 2025-02-30": "'2025-02-30' is no date like 2025-03-01",
    "serve --port 99999": "'99999' is no whole number from 1 to 65535",
    "serve --port 0": "'0' is no whole number from 1 to 65535",
    "serve --workers 0": "'0' is no whole number of 1 or more",
    "build --vars {churn_horizon_days:14}": "Next: settings are in domains/<name>/domain.yml",
    "build --vars={churn_horizon_days:14}": "Next: settings are in domains/<name>/domain.yml",
    "build --target spark": "Next: set CHURNHOUSE_TARGET",
    "build -t spark": "Next: set CHURNHOUSE_TARGET",
    "build --project-dir=/tmp": "takes no --project-dir",
}


@pytest.mark.parametrize("typed", WRONG)
def test_wrong_usage_is_one_line_and_exit_code_1(command, typed):
    assert WRONG[typed] in command(*typed.split()).line


def test_help_is_shown_on_request_and_without_a_command(command):
    asked, unnamed = command("--help"), command()
    assert asked.code == 0 and "generate" in asked.out
    assert unnamed.code == 1 and "generate" in unnamed.out and not unnamed.err


def test_version_loads_no_library_of_the_jobs():
    code = (
        "import sys; from python_jobs.cli import execute; execute(['--version'])\n"
        "print([m for m in ('duckdb', 'dbt', 'pandas', 'sklearn', 'uvicorn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, encoding="utf-8"
    )
    assert done.stdout.splitlines() == [
        f"churnhouse {cli.installed_version('churnhouse')}",
        "[]",
    ], done


BEFORE_ANYTHING = {
    "train": 'Table with name "raw.domain" does not exist in ',
    "promote": "Table with name evaluation_set does not exist in ",
    "score": "No model is in production",
    "outcomes": "There is no warehouse",
    "models": "There is no warehouse",
    "rollback": "no earlier production version to return to",
    "retrain --if-drifted": "No model is in production",
    "drift": "Nothing is published",
    "status": "Nothing is published",
    "forget u1": 'Table with name "raw.domain" does not exist in ',
    "approve v1 --by me --note ok": "There is no model version v1",
    "daily": "raw folder",
    "ingest --raw /nowhere": "/nowhere does not exist",
}


@pytest.mark.parametrize("typed", BEFORE_ANYTHING)
def test_every_command_on_an_empty_home_says_what_to_do(command, typed):
    line = command(*typed.split()).line
    assert BEFORE_ANYTHING[typed] in line and line.count("Next: ") == 1


def test_drift_is_the_only_exit_code_2(command, monkeypatch):
    from python_jobs.monitoring import drift

    found = {"status": "fail", "features": [], "predictions": [], "as_of_date": "2025-04-30"}
    monkeypatch.setattr(drift, "check", lambda _: found)
    monkeypatch.setattr(drift, "write", lambda *_: "data_drift_latest.json")
    assert command("drift").code == 2


def test_an_interrupted_command_says_so_and_exits_with_130(command, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs.pipeline, "score", interrupt)
    done = command("score")
    assert done.code == 130
    (line,) = done.err.splitlines()
    assert "Interrupted" in line and "Next: " in line


def test_an_interrupted_dbt_interrupts_the_command(command, monkeypatch):
    from dbt.cli.main import dbtRunner, dbtRunnerResult

    stopped = dbtRunnerResult(success=False, exception=KeyboardInterrupt())
    monkeypatch.setattr(dbtRunner, "invoke", lambda *_: stopped)
    assert command("build").code == 130
