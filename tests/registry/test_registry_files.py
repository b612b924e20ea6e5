"""Files of the registry that are pipes or damaged: one line that names them, and no wait."""

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.homes import churnhouse, copied, refused
from support.processes import within
from support.spoiled import WRONG, places, spoil

from python_jobs.errors import JobError
from python_jobs.files import sha256_of
from python_jobs.registry import approvals, effects, listing, promotion, store
from python_jobs.registry.rollback import rollback
from python_jobs.registry.tables import write_registry_tables
from python_jobs.scoring import production
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
OLDER = "2020-01-01T000000Z-00000000"
SMALL = (
    *("production.json", "manifest.json", "approvals.json", "withdrawn.json"),
    *("effect.json", "effects/one/effect.json"),
)


def piped(path: Path) -> None:
    """Put a pipe in place of a file: whoever opens it plainly waits for ever."""
    path.unlink()
    os.mkfifo(path)


def test_a_pipe_as_production_json_is_named(home):
    piped(home / "models/production.json")
    with within(60):
        line = refused(home, "models")
    assert "production.json cannot be read (it is no regular file). Next: restore it" in line


def test_a_pipe_as_manifest_makes_its_version_the_oldest(home):
    (version,) = store.versions(home / "models")
    shutil.copytree(home / "models" / version, home / "models" / OLDER)
    piped(home / "models" / OLDER / "manifest.json")
    with within(60):
        assert store.versions(home / "models") == [OLDER, version]
        assert churnhouse(home, "score").returncode == 0


def test_a_pipe_as_the_key_of_persons_is_named(home):
    piped(home / "person.key")
    with within(60):
        line = refused(home, "publish")
    assert "person.key cannot be read (it is no regular file). Next: restore it" in line


def test_files_nested_too_deeply_are_named(home):
    (home / "models/production.json").write_text("[" * 100_000)
    for command in ("models", "score"):
        assert "production.json is damaged: it is nested too deeply." in refused(home, command)


@pytest.mark.parametrize("command", ["models", "score", "rollback", "promote", "promote VERSION"])
def test_a_pointer_with_wrong_values_is_named(home, command):
    (version,) = store.versions(home / "models")
    content = {"version": 5, "promoted_at": "x", "previous": 3}
    (home / "models/production.json").write_text(json.dumps(content))
    line = refused(home, *command.replace("VERSION", version).split())
    assert "production.json is damaged: version is 5 (" in line


@pytest.mark.parametrize("files", [[], None])
def test_a_manifest_without_files_is_named(home, files):
    (version,) = store.versions(home / "models")
    spoil(home / "models" / version / "manifest.json", ("files",), files)
    assert f"manifest.json is damaged: files is {files} (" in refused(home, "score")


@pytest.fixture(scope="module")
def full(finished_home: Path, tmp_path_factory) -> Iterator[tuple[Settings, dict[Path, str]]]:
    """A home that has every small file of the registry, and their texts."""
    home = copied(finished_home, tmp_path_factory.mktemp("full") / "data")
    models = home / "models"
    (version,) = store.versions(models)
    shutil.copytree(models / version, models / OLDER)
    spoil(models / OLDER / "manifest.json", ("version",), OLDER)
    spoil(models / "production.json", ("previous",), OLDER)
    churnhouse(home, "approve", OLDER, "--by", "Ada", "--note", "as before")
    store.write_json(models / "withdrawn.json", {version: {"rolled_back_at": "2026-01-01"}})
    one = models / "effects/one"
    one.mkdir(parents=True)
    for name in effects.FILES:
        shutil.copyfile(models / version / "model.onnx", one / name)
    features = json.loads((models / version / "features.json").read_text())
    saved = {name: features[name] for name in ("names", "types", "values")}
    hashes = {name: sha256_of(one / name) for name in effects.FILES}
    store.write_json(one / "effect.json", saved | {"files": hashes, "reason": "it earns more"})
    store.write_json(models / "effect.json", {"version": "one"})
    paths = [models / name for name in SMALL if name != "manifest.json"]
    paths.append(models / OLDER / "manifest.json")
    yield Settings(home=home), {path: path.read_text() for path in paths}


def use(settings: Settings) -> int:
    """Use all that the registry's files say; return how many of the uses are refused."""
    models, refusals = settings.models, 0
    with connect(settings) as con:
        con.execute("delete from ml.model_versions")
        con.execute("delete from ml.fold_metrics")
        for used in (
            lambda: production.production(settings),
            lambda: write_registry_tables(con, models),
            lambda: listing.listing(con, settings),
            lambda: effects.in_use(models),
            lambda: store.champion_parameters(models),
            lambda: approvals.still_needed(settings, OLDER),
            lambda: promotion._held_back(settings, OLDER, is_named=False),
            lambda: promotion._must_go(con, models, OLDER, OLDER, NOW, 0),
            lambda: rollback(con, settings, now=NOW),
            lambda: production.production(settings),
        ):
            try:
                used()
            except JobError:
                refusals += 1
    return refusals


def test_whole_files_are_refused_nowhere(full):
    registry, texts = full
    assert use(registry) == 0
    put_right(texts)


def put_right(texts: dict[Path, str]) -> None:
    for path, text in texts.items():
        path.write_text(text)


@hypothesis.settings(max_examples=100)
@given(data=st.data())
def test_a_wrong_value_anywhere_gives_no_traceback(full, data):
    registry, texts = full
    path = data.draw(st.sampled_from(sorted(texts)))
    place = data.draw(st.sampled_from(list(places(json.loads(texts[path])))))
    spoil(path, place, data.draw(st.sampled_from(WRONG)))
    try:
        use(registry)
    finally:
        put_right(texts)
