"""Registry commands: models, approve, rollback, retrain, retrain --if-drifted."""

import importlib.util
import json
import re
import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest
from support.history import score_day
from support.homes import churnhouse, rows

from python_jobs import pipeline
from python_jobs.files import sha256_of
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect

QUICK = ("--time-budget", 0)
ANEW = (*QUICK, "--seed", 8)
"""With other settings than the finished home: the same again would train nothing."""

EVENT_COLUMNS = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount"


def versions(home: Path) -> list[str]:
    return store.versions(home / "models")


def in_production(home: Path) -> str:
    return store.production(home / "models").version


def served(home: Path) -> set[str]:
    """Return the model versions named by manifest, predictions and lookups."""
    current = home / "published/current"
    with duckdb.connect(str(current / "churnhouse.duckdb"), read_only=True) as published:
        query = "select distinct model_version from churn_predictions_latest"
        found = {row[0] for row in published.execute(query).fetchall()}
    manifest = json.loads((current / "manifest.json").read_text())
    digest = sha256_of(current / "model.onnx")
    by_bytes = {
        version
        for version in versions(home)
        if store.read_manifest(home / "models", version)["files"]["model.onnx"] == digest
    }
    assert manifest["model_version"] in by_bytes
    return found | {manifest["model_version"]}


def listed(home: Path) -> list[tuple[str, str]]:
    """Return the lines of `churnhouse models` as (version, rest of the line)."""
    lines = churnhouse(home, "models").stdout.splitlines()
    return [tuple(re.split(r"\s{2,}", line.strip(), maxsplit=1)) for line in lines[1:]]


def test_training_on_unchanged_data_makes_no_version(home: Path):
    (first,) = versions(home)
    before = (home / "published/current").readlink()
    train = churnhouse(home, "train", *QUICK)
    assert re.match(rf"train +data, settings and code are unchanged: {first} stands", train.stdout)
    retrain = churnhouse(home, "retrain", *QUICK)
    assert "in production already" in retrain.stdout
    assert versions(home) == [first] and (home / "published/current").readlink() == before


def test_damaged_version_does_not_stand_for_a_new_one(home: Path):
    (first,) = versions(home)
    (home / "models" / first / "model.onnx").write_bytes(b"damaged")
    assert "stands" not in churnhouse(home, "train", *QUICK).stdout
    assert len(versions(home)) == 2


def test_new_version_of_equal_quality_is_not_promoted(home: Path):
    (first,) = versions(home)
    done = churnhouse(home, "retrain", *ANEW)
    assert "no better than the champion" in done.stdout and len(versions(home)) == 2
    assert in_production(home) == first and served(home) == {first}


@pytest.mark.usefixtures("newer_wins")
def test_retrain_publishes_the_new_version_and_rollback_the_old_one(home: Path):
    (first,) = versions(home)
    assert served(home) == {first}
    done = churnhouse(home, "retrain", *ANEW)
    assert re.findall(r"^\w+", done.stdout, re.M) == [
        "train", "promote", "score", "publish",
    ]  # fmt: skip
    second = versions(home)[-1]
    assert second != first and served(home) == {second} and in_production(home) == second
    assert [(v, rest.split("  ")[0]) for v, rest in listed(home)] == [
        (second, "production"),
        (first, "previous"),
    ]
    before = (home / "published/current").readlink()
    done = churnhouse(home, "rollback")
    assert f"{first} is in production again" in done.stdout
    assert served(home) == {first} and in_production(home) == first
    assert (home / "published/current").readlink() != before
    assert [(v, rest.split("  ")[0]) for v, rest in listed(home)] == [
        (second, "rolled back"),
        (first, "production"),
    ]
    decided = rows(home, "select version, champion, reason from ml.promotions order by decided_at")
    assert decided[-1] == (first, second, f"rolled back from {second}")

    again = churnhouse(home, "rollback", check=False)
    (line,) = again.stderr.splitlines()
    assert again.returncode == 1 and f"{second}, was itself rolled back. Next: " in line
    assert served(home) == {first} and in_production(home) == first


def test_models_shows_metrics_as_registered(finished_home: Path):
    (version,) = versions(finished_home)
    metrics = store.read_json(finished_home / "models", version, "metrics.json")
    pooled = metrics["models"][metrics["selected"]]["folds"]["pooled"]["eligible"]
    ((name, rest),) = listed(finished_home)
    status, precision, auc, top = rest.split()
    assert (name, status) == (version, "production")
    assert precision == f"{pooled['average_precision']['value']:.3f}"
    assert auc == f"{pooled['roc_auc']['value']:.3f}"
    assert top == f"{pooled['precision_at_50']['value']:.1%}"


@pytest.mark.usefixtures("newer_wins")
def test_where_approval_is_required_production_waits_for_a_name(home: Path, monkeypatch):
    monkeypatch.setenv("CHURNHOUSE_APPROVAL_REQUIRED", "true")
    (first,) = versions(home)
    done = churnhouse(home, "retrain", *ANEW)
    second = versions(home)[-1]
    assert f"churnhouse approve {second} --by NAME --note TEXT" in done.stdout
    assert not re.search(r"^publish", done.stdout, re.M)
    assert in_production(home) == first and served(home) == {first}
    assert dict(listed(home))[second].startswith("unapproved  ")

    refused = churnhouse(home, "approve", second, "--by", " ", "--note", "x", check=False)
    assert refused.returncode == 1 and "needs a name and a note. Next: " in refused.stderr
    assert churnhouse(home, "approve", second, "--by", "Ada", check=False).returncode != 0
    assert "not promoted" in churnhouse(home, "promote", second).stdout

    done = churnhouse(home, "approve", second, "--by", "Ada Byron", "--note", "read the report")
    assert f"Next: churnhouse promote {second}" in done.stdout
    assert in_production(home) == first, "an approval alone promotes nothing"
    churnhouse(home, "promote", second)
    assert in_production(home) == second
    assert re.search(r"^production .* Ada Byron$", dict(listed(home))[second])
    decided = rows(home, "select version, is_promoted from ml.promotions order by decided_at")
    assert decided == [(first, True), (second, False), (second, False), (second, True)]


def test_first_run_with_required_approval_names_the_next_step(home: Path, monkeypatch):
    """There is nobody in production yet: everything is ready, and a name is what is missing."""
    shutil.rmtree(home / "models")
    shutil.rmtree(home / "published")
    with connect(Settings(home=home)) as connection:
        tables = "select table_name from information_schema.tables where table_schema = 'ml'"
        for (table,) in connection.execute(tables).fetchall():
            connection.execute(f"delete from ml.{table}")
    monkeypatch.setenv("CHURNHOUSE_APPROVAL_REQUIRED", "true")
    done = churnhouse(home, "run", *QUICK, check=False)
    (version,) = versions(home)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and not (home / "published").exists()
    assert "Next: " in line and f"churnhouse approve {version}" in done.stdout + line
    churnhouse(home, "approve", version, "--by", "Ada", "--note", "first of all")
    churnhouse(home, "promote", version)
    churnhouse(home, "score")
    churnhouse(home, "publish")
    assert served(home) == {in_production(home)} == {version}


def test_retrain_if_drifted_does_nothing_without_a_failure(home: Path):
    done = churnhouse(home, "retrain", "--if-drifted", *QUICK)
    assert done.stdout == "  neither drift nor realised performance has failed\n"
    assert len(versions(home)) == 1


def test_a_drifted_feature_retrains_once(home: Path):
    """Drift of the new version is measured against its own training rows, so it ends."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("update ml.training_reference set logins_30d = logins_30d + 50")
        connection.execute("drop table feature_drift")
    churnhouse(home, "publish")
    done = churnhouse(home, "retrain", "--if-drifted", *ANEW)
    assert re.match(r"  retraining: logins_30d has drifted \(PSI \d+\.\d\d\)\n", done.stdout)
    second = versions(home)[-1]
    assert len(versions(home)) == 2 and served(home) == {second}
    assert "neither drift" in churnhouse(home, "retrain", "--if-drifted", *QUICK).stdout
    assert len(versions(home)) == 2


def test_a_broken_promise_retrains_once(home: Path):
    """The 50 whom the model called riskiest on 12 March all came back within a week."""
    score_day(home, date(2025, 3, 12))
    churnhouse(home, "publish")
    churnhouse(home, "retrain", "--if-drifted", *QUICK)
    assert len(versions(home)) == 1, "what came out as promised is no reason"
    riskiest = rows(
        home,
        """
        select user_id from prediction_outcomes
        where as_of_date = '2025-03-12' and is_eligible order by risk_rank limit 50
        """,
    )
    lines = [f"back-{user},{user},2025-03-19 10:00:00,login,,,," for (user,) in riskiest]
    (home / "raw/events/back.csv").write_text("\n".join([EVENT_COLUMNS, *lines, ""]))
    churnhouse(home, "daily")
    done = churnhouse(home, "retrain", "--if-drifted", *QUICK)
    why = "  retraining: precision of the top k of 2025-03-12 came out at 0%"
    assert done.stdout.startswith(why)
    assert len(versions(home)) == 2 and served(home) == {versions(home)[-1]}
    assert "neither drift" in churnhouse(home, "retrain", "--if-drifted", *QUICK).stdout, (
        "the new version has not promised anything about that day"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["approve", "2020-01-01T000000Z-00000000", "--by", "Ada", "--note", "x"],
        ["promote", "2020-01-01T000000Z-00000000"],
        ["reject", "2020-01-01T000000Z-00000000", "--by", "Ada", "--note", "x"],
        ["rollback"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_refused_command_is_one_line_and_changes_nothing(home: Path, arguments):
    before = (home / "models/production.json").read_bytes()
    done = churnhouse(home, *arguments, check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and " Next: " in line and line.startswith("churnhouse: ")
    assert (home / "models/production.json").read_bytes() == before
    assert not (home / "models/approvals.json").exists()


def test_an_empty_installation_has_no_models(tmp_path: Path):
    """Listing models creates no files."""
    done = churnhouse(tmp_path, "models", check=False)
    warehouse = tmp_path / "warehouse.duckdb"
    line = f"churnhouse: There is no warehouse at {warehouse}. Next: run `churnhouse ingest` first."
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line + "\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is not None,
    reason="MLflow is installed here, so its absence cannot be seen",
)
def test_missing_mlflow_client_is_reported_before_training(home: Path, monkeypatch, capsys):
    """A rollback needs no client, so it is not refused."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = churnhouse(home, "train", check=False)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and done.stdout == "" and len(versions(home)) == 1
    assert line.endswith("Next: run `pip install 'churnhouse[mlflow]'`, or unset the variable.")
    pipeline.track(Settings(home=home), "elearning", versions(home)[0], "production")
    assert "No module named 'mlflow'" in capsys.readouterr().err
