"""train: the content of a version, its repeatability and all refusals.

`new_warehouse` makes a small world of tables; the tests of promote and score use it too.
"""

import json
import shutil
import subprocess
from importlib.metadata import version

import numpy as np
import pytest
from support.training_world import EXPLAINED, NOW, new_warehouse, run

from python_jobs.errors import JobError
from python_jobs.ingest.persons import KEY_FILE
from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.registry.promotion import promote
from python_jobs.settings import PROJECT, Settings
from python_jobs.training import train as training
from python_jobs.training.estimators import churn_risk
from python_jobs.training.metrics import METRICS, Campaign
from python_jobs.training.train import read_inputs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    con, home = new_warehouse(), tmp_path_factory.mktemp("home")
    return con, Settings(home=home), run(con, home)


def test_a_version_holds_every_file_with_its_hash(trained):
    """The manifest lists every file of the folder with its hash."""
    _, settings, result = trained
    folder = settings.models / result.version
    assert result.version.startswith("2026-11-21T101500Z-")
    assert {p.name for p in folder.iterdir()} == set(result.manifest["files"]) | {"manifest.json"}
    for name in result.manifest["files"]:
        assert store.verified(settings.models, result.version, name) == folder / name


def test_features_are_the_numeric_columns_in_table_order(trained):
    """Text, flags, dates and the label are not features."""
    _, settings, result = trained
    features = store.read_features(settings.models, result.version)
    assert dict(zip(features.names, features.types, strict=True)) == {
        "days_since_last_activity": "INTEGER",
        "active_days_30d": "INTEGER",
        "events_30d": "BIGINT",
        "watch_minutes_30d": "DOUBLE",
        "payment_fail_rate_30d": "DOUBLE",
    }


def test_metrics_cover_every_model_fold_and_population(trained):
    """One complete table in metrics.json, with candidates and baselines side by side."""
    _, _, result = trained
    tables = result.metrics["models"]
    assert {n: t["kind"] for n, t in tables.items()} == {
        "logistic_regression": "candidate",
        "hist_gradient_boosting": "candidate",
        "soft_voting": "candidate",
        "prior_rate": "baseline",
        "recency": "baseline",
        "frequency": "baseline",
        "rfm_logistic": "baseline",
    }
    for table in tables.values():
        assert list(table["folds"]) == ["1", "2", "3", "pooled"]
        for populations in table["folds"].values():
            for measures in populations.values():
                assert set(measures) == {*METRICS, "rows", "positives", "base_rate"}
    pooled = tables["prior_rate"]["folds"]["pooled"]
    assert pooled["all"]["rows"] == 3 * 400 > pooled["eligible"]["rows"]


def test_registry_tables_match_the_version_folder(trained):
    """ml.model_versions and ml.fold_metrics say what metrics.json says."""
    con, _, result = trained
    names = [*result.headline, "onnx_sha256", "created_at"]
    found = con.execute(f"select {', '.join(names)} from ml.model_versions").fetchall()
    expected = [*result.headline.values(), result.manifest["files"]["model.onnx"]]
    assert found == [(*expected, NOW.replace(tzinfo=None))]
    counts = con.execute("""
        select count(*), count(value), count(low), count(distinct model), min("rows") > 0
        from ml.fold_metrics
    """).fetchone()
    cells = 7 * 4 * 2 * len(METRICS)
    assert counts == (cells, cells, cells, 7, True)


def test_the_final_model_learns_from_eligible_rows_of_all_dates(trained):
    con, _, result = trained
    rows, positives, last = con.execute(
        "select count(*), sum(churn_label), max(as_of_date) from evaluation_set where is_eligible"
    ).fetchone()
    manifest = result.manifest
    assert (manifest["rows"], manifest["positives"]) == (rows, positives)
    assert manifest["last_as_of_date"] == str(last)


def test_manifest_records_how_to_reproduce_the_version(trained):
    """Data, code, libraries, seed and parameters are those actually used."""
    con, _, result = trained
    manifest = result.manifest
    head = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    known = subprocess.run(head, capture_output=True, text=True, check=False).stdout.strip()
    assert manifest["git_commit"] == (known or None)
    assert {name: version(name) for name in manifest["libraries"]} == manifest["libraries"]
    assert {"scikit-learn", "numpy", "onnxruntime"} <= manifest["libraries"].keys()
    dates = con.execute("select min(as_of_date), max(as_of_date) from evaluation_set").fetchone()
    assert (manifest["first_as_of_date"], manifest["last_as_of_date"]) == tuple(map(str, dates))
    assert (manifest["seed"], len(manifest["data_hash"])) == (7, 64)
    assert set(manifest["parameters"]) <= {"logistic_regression", "hist_gradient_boosting"}


def test_onnx_and_joblib_and_golden_rows_agree(trained):
    """The ONNX file gives the same scores as the joblib file, also on golden rows."""
    _, settings, result = trained
    folder = settings.models / result.version
    session = onnx_model.load(folder / "model.onnx", result.manifest["files"]["model.onnx"])
    golden = json.loads((folder / "golden.json").read_text())
    onnx_model.check_golden(session, golden)
    model = store.load_joblib(settings.models, result.version)
    risk = churn_risk(model, np.array(golden["rows"], np.float32))
    assert np.abs(risk - golden["churn_risk"]).max() < 1e-5
    assert max(risk) - min(risk) > 0.2


def test_the_same_data_give_the_same_bytes_in_any_row_order(trained, tmp_path):
    """Only the time differs: version name and created_at."""
    _, settings, result = trained
    shutil.copy(settings.home / KEY_FILE, tmp_path)  # held-out rows carry hashes by it
    shuffled = new_warehouse()
    shuffled.execute(
        "create or replace table evaluation_set as from evaluation_set order by hash(user_id)"
    )
    again = run(shuffled, tmp_path, now=NOW.replace(minute=16))
    for name in result.manifest["files"].keys() - {"report.html", "model_card.md"}:
        assert again.manifest["files"][name] == result.manifest["files"][name], name
    assert again.version != result.version and again.version[-8:] == result.version[-8:]


def test_training_again_in_the_same_second_changes_nothing(tmp_path):
    con = new_warehouse()
    first, second = run(con, tmp_path), run(con, tmp_path)
    assert first == second
    assert store.versions(tmp_path / "models") == [first.version]
    assert con.execute("select count(*) from ml.model_versions").fetchone() == (1,)


def test_a_changed_value_changes_the_version(trained, tmp_path):
    con = new_warehouse()
    con.execute("update evaluation_set set churn_label = 1 - churn_label where user_id = 'u000007'")
    assert run(con, tmp_path).version[-8:] != trained[2].version[-8:]


def test_new_warehouse_gets_registered_versions_from_the_folders(trained):
    """write_registry_tables() fills the tables from the folders, once each."""
    from python_jobs.registry.tables import write_registry_tables

    con, settings, result = trained
    new = new_warehouse()
    write_registry_tables(new, settings.models)
    write_registry_tables(new, settings.models)
    query = "select * from ml.fold_metrics order by all"
    assert new.execute(query).fetchall() == con.execute(query).fetchall()
    assert new.execute("select version from ml.model_versions").fetchall() == [(result.version,)]


REFUSALS = {
    "one class": ("update evaluation_set set churn_label = 0", "all have churn_label 0"),
    "one class among the eligible": (
        "update evaluation_set set churn_label = 0 where is_eligible",
        "all have churn_label 0",
    ),
    "nobody eligible": ("update evaluation_set set is_eligible = false", "0 eligible rows"),
    "no features": (
        "create or replace table evaluation_set as "
        "select user_id, as_of_date, is_eligible, churn_label from evaluation_set",
        "no feature column",
    ),
    "no recency": (
        "alter table evaluation_set drop days_since_last_activity",
        "no column days_since_last_activity",
    ),
    "infinite feature": (
        "update evaluation_set set watch_minutes_30d = 'inf' where user_id = 'u000003'",
        "watch_minutes_30d is infinite",
    ),
    "a look into the future": (
        "alter table evaluation_set add column next_week double;"
        "update evaluation_set set next_week = (1 - churn_label) * (1 + hash(user_id) % 9)",
        "The feature next_week tells churners",
    ),
    "open label window": ("update build_window set data_through = data_through - 1", "not closed"),
    "no label": (
        "update evaluation_set set churn_label = null where user_id = 'u000003'",
        "without a label",
    ),
    "nothing at all": ("delete from evaluation_set", "History is too short"),
}


@pytest.mark.parametrize("change, message", REFUSALS.values(), ids=REFUSALS)
def test_refusals_name_the_cause_and_register_nothing(change, message, tmp_path):
    con = new_warehouse(users=200)
    con.execute(change)
    with pytest.raises(JobError, match=f"{message}.* Next: "):
        run(con, tmp_path)
    assert store.versions(tmp_path / "models") == []
    assert con.execute("select count(*) from ml.model_versions").fetchone() == (0,)


UNTESTABLE = {
    "one date": (1, "select 1", "a test on a later date needs at least 30 more days"),
    "three dates": (3, "select 1", "a test on a later date needs at least 16 more days"),
    "five dates": (5, "select 1", "a test on a later date needs at least 2 more days"),
    "one class in every fold's past": (
        9,
        "update evaluation_set set churn_label = 0 where as_of_date < '2025-03-20'",
        "no test date has churners and stayers before it",
    ),
}


@pytest.mark.parametrize("dates, change, says", UNTESTABLE.values(), ids=UNTESTABLE)
def test_what_cannot_be_tested_yet_is_a_rule_that_says_what_is_missing(
    dates, change, says, tmp_path
):
    con = new_warehouse(users=40, dates=dates)
    con.execute(change)
    result = run(con, tmp_path)
    assert result.manifest["estimator"] == "rfm_logistic" and says in result.manifest["unjudged"]
    assert set(result.headline.values()) == {None}
    folder = tmp_path / "models" / result.version
    for name in ("model_card.md", "report.html"):
        assert says in (folder / name).read_text(encoding="utf-8")
    decision = promote(con, Settings(home=tmp_path), now=NOW)
    assert decision.is_promoted and decision.reasons[0] == "it is not judged yet"


def test_six_weekly_dates_are_just_enough(tmp_path):
    """35 days between the first and the last date hold one horizon of 30 and one test date."""
    result = run(new_warehouse(users=200, dates=6), tmp_path)
    assert [f["train_to"] for f in result.metrics["folds"]] == ["2025-02-02"]
    assert result.manifest["data_through"] == "2025-04-08"


def test_export_that_differs_from_the_model_is_not_registered(tmp_path, monkeypatch):
    """The parity check runs before registration."""
    monkeypatch.setattr("python_jobs.training.onnx_export.MAX_DIFFERENCE", 0.0)
    with pytest.raises(JobError, match="nothing was registered"):
        run(new_warehouse(users=200), tmp_path)
    assert not (tmp_path / "models").exists()


def test_progress_gets_short_plain_lines(tmp_path):
    lines = []
    run(new_warehouse(users=200), tmp_path, progress=lines.append)
    assert len(lines) == 6 and all(len(line) < 80 for line in lines)


def test_shuffled_labels_give_an_auc_near_one_half(tmp_path):
    """Guards the whole path from rows to metrics: without a pattern nothing is learned."""
    con = new_warehouse(users=1500)
    con.execute("update evaluation_set set churn_label = hash(user_id, as_of_date, 5) % 10 < 4")
    tables = run(con, tmp_path).metrics["models"]
    for name, table in tables.items():
        auc = table["folds"]["pooled"]["eligible"]["roc_auc"]
        assert abs(auc["value"] - 0.5) < 0.03, name
        assert auc["low"] < 0.52 and auc["high"] > 0.48


@pytest.mark.parametrize("begins", ["2025-03-10", "2026-01-01"], ids=["late", "never"])
def test_feature_without_early_values_does_not_stop_training(tmp_path, begins):
    """Early folds, or all, have no value of the feature; the model still includes it."""
    con = new_warehouse(users=300)
    con.execute(f"""
        update evaluation_set set watch_minutes_30d = null where as_of_date < date '{begins}'
    """)
    result = run(con, tmp_path, time_budget=1)
    assert len(result.metrics["folds"]) == 3
    assert "watch_minutes_30d" in result.metrics["importances"]
    assert (result.metrics["importances"]["watch_minutes_30d"] == 0) is (begins > "2026")


def test_larger_budget_runs_more_trials_and_records_them(tmp_path, trained):
    """Every trial is in the manifest; without a budget there is the default alone."""
    result = run(new_warehouse(), tmp_path, time_budget=2)
    counts = {name: len(trials) for name, trials in result.manifest["search"].items()}
    assert not any(trained[2].manifest["search"].values())
    assert min(counts.values()) > 10


def test_only_the_named_candidates_are_tried(tmp_path):
    result = run(new_warehouse(users=200), tmp_path, candidates=["logistic_regression"])
    kinds = {name: table["kind"] for name, table in result.metrics["models"].items()}
    assert [name for name in kinds if kinds[name] == "candidate"] == ["logistic_regression"]


INPUTS = {
    "seed": {"seed": 8},
    "budget": {"time_budget": 1},
    "campaign": {"campaign": Campaign(6, 0.1, 100)},
    "candidates": {"candidates": ["soft_voting"]},
    "facts of features": {"explained": {}},
}


@pytest.mark.parametrize("change", INPUTS.values(), ids=INPUTS)
def test_every_setting_counts_as_an_input(change):
    con = new_warehouse(users=40)
    asked = {"horizon_days": 30, "explained": EXPLAINED}
    once, again = (read_inputs(con, **asked).hash for _ in range(2))
    assert once == again != read_inputs(con, **asked | change).hash


def test_code_and_library_versions_count_as_inputs(monkeypatch):
    con = new_warehouse(users=40)

    def found():
        return read_inputs(con, horizon_days=30, explained=EXPLAINED).hash

    hashes = {found()}
    monkeypatch.setattr(training, "library_version", lambda name: "9.9")
    hashes.add(found())
    monkeypatch.setattr(training, "_code_hash", lambda: "other code")
    assert len(hashes | {found()}) == 3


def test_champions_parameters_are_tried_and_recorded(tmp_path):
    champion = {"logistic_regression": {"C": 0.07}}
    result = run(new_warehouse(), tmp_path, time_budget=1, champion=champion)
    tried = [trial["parameters"] for trial in result.manifest["search"]["logistic_regression"]]
    assert tried[1] == {"C": 0.07} and result.manifest["champion_parameters"] == champion


def test_version_has_slices_typical_values_card_and_report(trained):
    _, settings, result = trained
    folder = settings.models / result.version
    plans = result.metrics["slices"]["plan"]
    rows = result.metrics["models"][result.metrics["selected"]]["folds"]["pooled"]["eligible"]
    assert set(plans) == {"free", "paid"}
    assert sum(part["rows"] for part in plans.values()) == rows["rows"]
    typical = json.loads((folder / "typical.json").read_text())
    median = trained[0].execute(
        "select median(watch_minutes_30d) from evaluation_set where is_eligible"
    )
    assert typical["watch_minutes_30d"]["median"] == pytest.approx(median.fetchone()[0], rel=1e-6)
    card = (folder / "model_card.md").read_text()
    for heading in ("Intended use", "Population", "Calibration", "Slices", "Limits"):
        assert heading in card
    precision = rows["average_precision"]
    assert (
        f"({precision['low']:.3f} to {precision['high']:.3f})" in card and "| plan | paid |" in card
    )
    assert result.version in (folder / "report.html").read_text()
