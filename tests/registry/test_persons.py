"""Model versions: rows of a person are found by the id and by nobody else, and leave for good."""

import hashlib
import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
from support.training_world import NOW, new_warehouse, run

from python_jobs.errors import JobError
from python_jobs.files import replace_json, sha256_of, write_json
from python_jobs.ingest.persons import KEY_FILE, hash_of, key_of
from python_jobs.publication import onnx_model
from python_jobs.publication.signature import signed
from python_jobs.registry import persons, store
from python_jobs.registry.promotion import promote
from python_jobs.settings import Settings

USER = "u000007"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("trained")
    return home, run(new_warehouse(), home).version


@pytest.fixture
def home(trained, tmp_path) -> Path:
    return shutil.copytree(trained[0], tmp_path / "home")


def held_out(home: Path, version: str, column: str = "person_hash") -> list[str]:
    path = home / "models" / version / "held_out.parquet"
    return [row[0] for row in duckdb.sql(f"select {column} from '{path}'").fetchall()]


def check_whole(home: Path, version: str) -> None:
    for name in store.read_manifest(home / "models", version)["files"]:
        store.verified(home / "models", version, name)


def made_old(home: Path, version: str) -> None:
    """Change a version into what release 0.2 wrote: plain hashes, slices of anybody, real rows."""
    folder = home / "models" / version
    key = key_of(home)
    plain = {
        hash_of(key, f"u{n:06}"): hashlib.sha256(f"u{n:06}".encode()).hexdigest()
        for n in range(400)
    }
    frame = duckdb.sql(f"from '{folder}/held_out.parquet'").df()
    frame.insert(0, "user_hash", frame.pop("person_hash").map(plain))
    duckdb.sql("from frame").write_parquet(str(folder / "held_out.parquet"))
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["slices"] = {"email": {"ann@x.example": metrics["slices"]["plan"]["free"]}}
    write_json(folder / "metrics.json", metrics)
    card = (folder / "model_card.md").read_text().replace("| plan | free |", "| email | ann@x |")
    (folder / "model_card.md").write_text(card)
    page = (folder / "report.html").read_text().replace("<td>free</td>", "<td>ann@x</td>")
    (folder / "report.html").write_text(page)
    assert "ann@x" in card and "ann@x" in page
    manifest = store.read_manifest(home / "models", version)
    manifest["files"] = {name: sha256_of(folder / name) for name in manifest["files"]}
    write_json(folder / "manifest.json", manifest)


def test_only_who_has_the_key_finds_a_user(trained):
    home, version = trained
    kept = set(held_out(home, version))
    assert hash_of(key_of(home), USER) in kept
    assert hashlib.sha256(USER.encode()).hexdigest() not in kept
    assert hash_of(bytes(32), USER) not in kept
    assert (home / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_person_leaves_every_version_and_all_others_stay(home, trained):
    _, version = trained
    theirs, before = hash_of(key_of(home), USER), held_out(home, version)
    gone = before.count(theirs)
    assert gone and persons.remove(Settings(home=home), [USER, "nobody"]) == gone
    assert held_out(home, version) == [one for one in before if one != theirs]
    check_whole(home, version)
    assert persons.remove(Settings(home=home), [USER]) == 0


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_rewriting_that_broke_off_is_undone_or_finished(home, trained, monkeypatch, step):
    """Killed just before or just after the manifest names the new rows."""
    _, version = trained
    before = held_out(home, version)

    def killed(path, content, replace=persons.replace_json):
        if step == "after":
            replace(path, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(persons, "replace_json", killed)
    with pytest.raises(KeyboardInterrupt):
        persons.remove(Settings(home=home), [USER])
    persons.settle(home / "models")
    check_whole(home, version)
    assert (held_out(home, version) == before) == (step == "before")
    monkeypatch.undo()
    persons.remove(Settings(home=home), [USER])
    assert hash_of(key_of(home), USER) not in held_out(home, version)
    assert [p.name for p in (home / "models" / version).glob(".*")] == []


def test_versions_of_earlier_releases_are_rewritten_once(home, trained):
    _, version = trained
    folder, before = home / "models" / version, held_out(home, version)
    made_old(home, version)
    assert hashlib.sha256(USER.encode()).hexdigest() in held_out(home, version, "user_hash")
    assert persons.upgrade(Settings(home=home)) == [version]
    check_whole(home, version)
    assert held_out(home, version) == before
    for name in ("metrics.json", "model_card.md", "report.html"):
        text = (folder / name).read_text()
        assert "ann@x" not in text and "email" not in text, name
    assert "## Limits" in (folder / "model_card.md").read_text()
    golden = json.loads((folder / "golden.json").read_text())
    assert len(golden["rows"]) == 1
    onnx_model.check_golden(onnx_model.open_session((folder / "model.onnx").read_bytes()), golden)
    assert persons.upgrade(Settings(home=home)) == []


def test_promotion_compares_with_what_an_earlier_release_held_out(home, trained):
    """The rows are joined by the key, also those that had a plain hash."""
    _, first = trained
    con, settings = new_warehouse(), Settings(home=home)
    con.execute("update build_window set data_through = '2025-09-01'")
    promote(con, settings, now=NOW)
    con.execute(
        "insert into evaluation_set select * replace (as_of_date + 70 as as_of_date)"
        " from evaluation_set"
    )
    later = NOW.replace(hour=12)
    second = run(con, home, now=later).version
    made_old(home, second)
    decision = promote(con, settings, now=later)
    assert decision.champion == first and "neither has seen" in decision.reason


def test_a_damaged_version_is_no_reason_to_bless_what_is_in_it(home, trained):
    _, version = trained
    made_old(home, version)
    path = home / "models" / version / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    assert persons.upgrade(Settings(home=home)) == []
    with pytest.raises(JobError, match=r"model\.onnx"):
        persons.remove(Settings(home=home), [USER])


def test_golden_rows_are_nobodys(trained):
    """None of them is a row of the training data, and each number lies in its middle."""
    home, version = trained
    features = store.read_features(home / "models", version)
    golden = store.read_json(home / "models", version, "golden.json")
    con = new_warehouse()
    real = np.concatenate(
        [m for _, m in features.chunks(con, ["user_id"], "from evaluation_set as f")]
    )
    rows = np.array(golden["rows"], np.float32)
    same = np.isclose(rows[:, None], real[None], equal_nan=True).all(axis=2)
    assert len(rows) == 20 and not same.any()
    number = features.names.index("events_30d")
    assert rows[:, number].max() < real[:, number].max()


def test_a_signed_version_is_signed_anew_and_a_forged_one_is_not(home):
    settings = Settings(home=home, signing_key="k" * 32)
    version = store.versions(settings.models)[0]
    path = settings.models / version / "manifest.json"
    manifest = store.read_manifest(settings.models, version)
    replace_json(path, signed(manifest, store.KIND, "o" * 32))
    assert persons.remove(settings, [USER]) and store.not_trained_here(settings, version)


def test_a_removal_keeps_the_signature_valid(home):
    settings = Settings(home=home, signing_key="k" * 32)
    version = store.versions(settings.models)[0]
    path = settings.models / version / "manifest.json"
    manifest = store.read_manifest(settings.models, version)
    replace_json(path, signed(manifest, store.KIND, settings.signing_key))
    assert persons.remove(settings, [USER]) and store.not_trained_here(settings, version) is None
