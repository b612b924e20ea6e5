"""registry: versions are complete or absent, and the pointer detects concurrent moves."""

import json
from datetime import UTC, datetime, timedelta, timezone

import duckdb
import joblib
import numpy as np
import pytest

from python_jobs.errors import JobError
from python_jobs.registry import store
from python_jobs.registry.store import Production
from python_jobs.settings import Settings
from python_jobs.warehouse.features import Features

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
ONE, TWO, THREE = (f"2026-11-2{day}T101500Z-0a1b2c3d" for day in (1, 2, 3))
FACTS = {
    "created_at": "2026-11-21T10:15:00Z",
    "estimator": "logistic_regression",
    "parameters": {"logistic_regression": {"C": 0.1}},
    "seed": 7,
    "horizon_days": 30,
    "data_hash": "0a1b2c3d",
    "data_through": "2026-11-20",
    "last_as_of_date": "2026-10-20",
    "features_fingerprint": "4e",
    "libraries": {},
    "git_commit": None,
}


def make(models, version=ONE, content=b"model", **manifest):
    with store.new_version(models, version, FACTS | {"version": version} | manifest) as folder:
        (folder / "model.onnx").write_bytes(content)
        joblib.dump({"a": 1}, folder / "model.joblib")
        store.write_json(folder / "features.json", {"names": ["x"], "types": ["DOUBLE"]})


def test_version_names_depend_on_time_and_data_and_sort_by_time():
    assert store.version_name(NOW, "0a1b2c3d4e") == ONE
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))
    assert store.version_name(berlin, "0a1b2c3d4e") == ONE
    later = store.version_name(NOW + timedelta(seconds=1), "00000000")
    assert later > ONE and store.VERSION.fullmatch(later)
    with pytest.raises(ValueError, match="zone"):
        store.version_name(NOW.replace(tzinfo=None), "0a1b2c3d")


def test_a_version_is_sealed_with_the_hash_of_each_file(tmp_path):
    make(tmp_path, seed=7)
    manifest = store.read_manifest(tmp_path, ONE)
    assert manifest["seed"] == 7
    assert set(manifest["files"]) == {"model.onnx", "model.joblib", "features.json"}
    assert store.load_joblib(tmp_path, ONE) == {"a": 1}
    assert store.read_features(tmp_path, ONE) == Features(["x"], ["DOUBLE"])


def test_failed_write_leaves_no_version_and_no_temporary_files(tmp_path):
    with pytest.raises(OSError, match="disk full"), store.new_version(tmp_path, ONE, {}):
        raise OSError("disk full")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_run_are_ignored_and_removed(tmp_path):
    for name in (f".writing-{ONE}", f".writing-{TWO}", THREE, "notes"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.onnx").write_text("half")
    assert store.versions(tmp_path) == []
    make(tmp_path)
    assert store.versions(tmp_path) == [ONE]
    assert not list(tmp_path.glob(".writing-*"))


def test_an_existing_version_is_never_changed(tmp_path):
    """Writing the same model again changes nothing; another one of that name is refused."""
    make(tmp_path, note="first")
    make(tmp_path, note="second")
    assert store.read_manifest(tmp_path, ONE)["note"] == "first"
    with pytest.raises(JobError, match=f"{ONE} exists and holds another model"):
        make(tmp_path, content=b"other")
    assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.parametrize("name", ["model.joblib", "features.json"])
@pytest.mark.parametrize("spoil", ["change", "remove"])
def test_a_tampered_file_is_refused_by_name(tmp_path, name, spoil):
    make(tmp_path)
    path = tmp_path / ONE / name
    path.unlink() if spoil == "remove" else path.write_bytes(path.read_bytes() + b" ")
    read = store.load_joblib if name == "model.joblib" else store.read_features
    with pytest.raises(JobError, match=f"{ONE}/{name} is missing or is not the file"):
        read(tmp_path, ONE)


def test_version_with_an_added_file_is_refused(tmp_path):
    make(tmp_path)
    (tmp_path / ONE / "golden.json").write_text("{}")
    with pytest.raises(JobError, match=r"golden\.json"):
        store.read_json(tmp_path, ONE, "golden.json")


@pytest.mark.parametrize("version", [TWO, "../outside", ""])
def test_an_unknown_version_is_refused(tmp_path, version):
    make(tmp_path)
    with pytest.raises(JobError, match="no model version"):
        store.read_manifest(tmp_path, version)


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        store.write_json(tmp_path / "x.json", {"value": float("nan")})


def test_pointer_moves_and_keeps_the_previous_version(tmp_path):
    settings = Settings(home=tmp_path)
    settings.models.mkdir()
    assert store.production(settings.models) is None
    first = store.swap_production(settings, None, ONE, NOW)
    second = store.swap_production(settings, first, TWO, NOW)
    assert store.production(settings.models) == second
    assert second == Production(TWO, "2026-11-21T10:15:00Z", ONE)
    assert json.loads((settings.models / "production.json").read_text())["previous"] == ONE


def test_slower_of_two_promotions_is_refused(tmp_path):
    settings = Settings(home=tmp_path)
    settings.models.mkdir()
    first = store.swap_production(settings, None, ONE, NOW)
    faster = store.swap_production(settings, first, TWO, NOW)
    for seen in (first, None):
        with pytest.raises(JobError, match="faster"):
            store.swap_production(settings, seen, THREE, NOW)
    assert store.production(settings.models) == faster


@pytest.fixture
def con():
    con = duckdb.connect()
    con.execute("""
        create table t (
            user_id varchar, as_of_date date, a integer, flag boolean, "odd ""name" double,
            amount decimal(9, 2), churn_label integer, big bigint
        )
    """)
    return con


def test_features_are_numeric_columns_in_order(con):
    features = Features.of_table(con, "t")
    assert features == Features(
        ["a", 'odd "name', "amount", "big"], ["INTEGER", "DOUBLE", "DECIMAL(9,2)", "BIGINT"]
    )


def test_fingerprint_covers_names_types_and_order():
    prints = {
        Features(names, types).fingerprint
        for names, types in [
            (["a", "b"], ["INTEGER", "DOUBLE"]),
            (["b", "a"], ["DOUBLE", "INTEGER"]),
            (["a", "c"], ["INTEGER", "DOUBLE"]),
            (["a", "b"], ["INTEGER", "BIGINT"]),
        ]
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    "names, types, found",
    [
        (["b", "a"], ["DOUBLE", "INTEGER"], []),
        (["a", "b"], ["INTEGER", "BIGINT"], ["b is BIGINT, the model has DOUBLE"]),
        (["a"], ["INTEGER"], ["b is missing, the model has DOUBLE"]),
        (["c", "a", "b"], ["DOUBLE", "INTEGER", "DOUBLE"], []),
    ],
)
def test_missing_or_retyped_feature_is_named_and_a_new_one_accepted(names, types, found):
    model = Features(["a", "b"], ["INTEGER", "DOUBLE"])
    assert model.differences(Features(names, types)) == found


def test_chunks_keep_ids_and_values_together(con, monkeypatch):
    """Several chunks, NULLs and a shuffled table: row i of the matrix is row i of the ids."""
    monkeypatch.setattr("python_jobs.warehouse.features.CHUNK_VECTORS", 1)
    con.execute("""
        insert into t
        select 'u' || i, '2025-01-01', i, true, if(i % 7 = 0, null, i / 8), i, 0, i
        from range(5000) r(i) order by hash(i)
    """)
    features = Features.of_table(con, "t")
    chunks = list(features.chunks(con, ["f.user_id"], "from t as f order by f.user_id"))
    assert len(chunks) > 1
    for frame, matrix in chunks:
        numbers = frame["user_id"].str[1:].astype(int).to_numpy()
        expected = np.column_stack([numbers, numbers / 8, numbers, numbers]).astype(np.float32)
        expected[numbers % 7 == 0, 1] = np.nan
        np.testing.assert_array_equal(matrix, expected)
        assert matrix.dtype == np.float32
    assert sum(len(frame) for frame, _ in chunks) == 5000


def test_empty_table_gives_one_empty_chunk(con):
    ((frame, matrix),) = Features.of_table(con, "t").chunks(con, ["f.user_id"], "from t as f")
    assert (len(frame), matrix.shape) == (0, (0, 4))


def test_the_order_is_that_of_training_whatever_the_clock_said(tmp_path):
    """A version that was made while the clock was ahead is not the newest for ever."""
    for version in (TWO, THREE, ONE):
        make(tmp_path, version)
    assert store.versions(tmp_path) == [TWO, THREE, ONE]


def test_versions_of_earlier_releases_have_no_number_and_come_first(tmp_path):
    for version in (TWO, ONE, THREE):
        make(tmp_path, version)
    for version in (TWO, ONE):
        manifest = tmp_path / version / "manifest.json"
        content = json.loads(manifest.read_text())
        del content["sequence"]
        manifest.write_text(json.dumps(content))
    assert store.versions(tmp_path) == [ONE, TWO, THREE]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no JSON"),
        ("[" * 100_000, "it is nested too deeply"),
        ("[]", "it is no object"),
        ('{"version": "x"}', "it lacks promoted_at"),
        (
            '{"version": 5, "promoted_at": "x", "previous": 3}',
            r"version is 5 \(Input should be a valid string\)",
        ),
        (
            f'{{"version": "{ONE}", "promoted_at": "x", "previous": null}}',
            "promoted_at is 'x'",
        ),
    ],
)
def test_a_damaged_pointer_is_named_with_what_to_do(tmp_path, text, why):
    (tmp_path / "production.json").write_text(text)
    with pytest.raises(JobError, match=rf"production\.json is damaged: {why}.*Next: restore it"):
        store.production(tmp_path)


def test_a_damaged_manifest_is_named(tmp_path):
    make(tmp_path)
    (tmp_path / ONE / "manifest.json").write_text("{")
    with pytest.raises(JobError, match=f"{ONE}/manifest.json is damaged"):
        store.read_manifest(tmp_path, ONE)
    make(tmp_path, TWO)
    assert store.versions(tmp_path) == [ONE, TWO]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"files": []}, r"is damaged: files is \[\]"),
        ({"files": None}, "is damaged: files is None"),
        ({"files": {"model.joblib": "0"}}, "is damaged: files is .*model.onnx is missing"),
        ({"files": {"model.onnx": 5}}, "is damaged: files.model.onnx is 5"),
        ({"horizon_days": "30"}, "is damaged: horizon_days is '30'"),
        ({"data_through": "soon"}, "is damaged: data_through is 'soon'"),
        ({"version": TWO}, f"is of another version, {TWO}"),
    ],
)
def test_a_manifest_with_a_wrong_value_is_refused(tmp_path, change, why):
    make(tmp_path)
    path = tmp_path / ONE / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(JobError, match=rf"{ONE}/manifest.json {why}.*Next: restore it"):
        store.read_manifest(tmp_path, ONE)
