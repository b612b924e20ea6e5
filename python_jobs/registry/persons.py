"""Take single persons out of model versions, which are otherwise never rewritten.

A rewritten version keeps its name, its model and its approvals; the manifest gets the new hashes.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from python_jobs.errors import JobError
from python_jobs.files import fsync, replace_json, sha256_of, sql_text, write_json
from python_jobs.ingest import persons
from python_jobs.publication.signature import FIELD, signed
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.training import onnx_export

HELD_OUT = "held_out.parquet"
NEW = ".new-"
"""What the names of files begin with that the manifest does not count yet."""
SLICES = {
    "model_card.md": (
        re.compile(r"(?ms)^## Slices\n.*?(?=^## |\Z)"),
        "## Slices\n\nLeft out: this version did not count the users of each.\n\n",
    ),
    "report.html": (re.compile(r"(?s)<section><h2>Slices by .*?</section>"), ""),
}
"""Where the texts of a version show slices, and what stands there without them."""


def upgrade(settings: Settings) -> list[str]:
    """Rewrite versions of releases that kept plain hashes of user_ids; return their names.

    Held-out rows get keyed hashes. Slices go, since nobody knows of how few users they are. The
    golden rows of real users become one, their median. A damaged version is left as it is.
    """
    done, models = [], settings.models
    settle(models)
    for version in store.versions(models):
        if "user_hash" not in _columns(models / version / HELD_OUT) or not _is_whole(
            models, version
        ):
            continue
        folder = models / version
        with duckdb.connect() as reader:
            persons.define(reader, models.parent)
            _copy(
                reader,
                "select keyed_hash(user_hash) as person_hash, * exclude (user_hash) "
                f"from {sql_text(folder / HELD_OUT)}",
                folder,
            )
        _write_without_slices(models, version)
        _commit(settings, version)
        done.append(version)
    return done


def remove(settings: Settings, ids: Iterable[str]) -> int:
    """Remove the held-out rows of persons with these ids from all versions; return how many.

    Raises JobError, and changes nothing more, for a version that is damaged.
    """
    upgrade(settings)
    models = settings.models
    key = persons.key_of(models.parent)
    hashes = {"hashes": [persons.hash_of(key, user_id) for user_id in ids]}
    is_theirs = "list_contains($hashes, person_hash)"
    removed = 0
    for version in store.versions(models):
        path = models / version / HELD_OUT
        if HELD_OUT not in store.read_manifest(models, version)["files"]:
            continue
        if "person_hash" not in _columns(path):
            _verify(models, version)
        with duckdb.connect() as reader:
            query = f"select count(*) from {sql_text(path)} where {is_theirs}"
            rows: int = reader.execute(query, hashes).fetchall()[0][0]
            if not rows:
                continue
            if FIELD in store.read_manifest(models, version) and not settings.signing_key:
                raise JobError(
                    f"{version} is signed, and its signature must be made anew.",
                    next_step="run it again with CHURNHOUSE_SIGNING_KEY.",
                )
            _verify(models, version)
            query = f"from {sql_text(path)} where not {is_theirs}"
            _copy(reader, query, path.parent, hashes)
        _commit(settings, version)
        removed += rows
    return removed


def settle(models: Path) -> None:
    """Finish or undo a rewriting that broke off: the manifest says which of the files counts."""
    for version in store.versions(models):
        _settle(models, version)


def _settle(models: Path, version: str) -> None:
    files = store.read_manifest(models, version)["files"]
    for new in (models / version).glob(f"{NEW}*"):
        name = new.name.removeprefix(NEW)
        if files.get(name) == sha256_of(new):
            new.replace(new.with_name(name))
        else:
            new.unlink()
    fsync(models / version)


def _commit(settings: Settings, version: str) -> None:
    """Let the new files count: from the moment on at which the manifest is replaced.

    A manifest that was signed is signed anew.
    """
    models, folder = settings.models, settings.models / version
    new = sorted(folder.glob(f"{NEW}*"))
    manifest = store.read_manifest(models, version)
    for path in new:
        fsync(path)
    hashes = {path.name.removeprefix(NEW): sha256_of(path) for path in new}
    is_ours = store.not_trained_here(settings, version) is None
    manifest["files"] |= hashes
    if is_ours:
        manifest = signed(manifest, store.KIND, settings.signing_key)
    replace_json(folder / "manifest.json", manifest)
    _settle(models, version)


def _columns(path: Path) -> list[str]:
    """Return the columns of a Parquet file; [] if there is none or it cannot be read."""
    try:
        with duckdb.connect() as reader:
            return [row[0] for row in reader.execute(f"describe from {sql_text(path)}").fetchall()]
    except duckdb.Error:
        return []


def _is_whole(models: Path, version: str) -> bool:
    try:
        _verify(models, version)
    except JobError:
        return False
    return True


def _verify(models: Path, version: str) -> None:
    for name in store.read_manifest(models, version)["files"]:
        store.verified(models, version, name)


def _copy(
    reader: duckdb.DuckDBPyConnection,
    query: str,
    folder: Path,
    parameters: dict[str, Any] | None = None,
) -> None:
    """Write the result of a query as the folder's new held-out rows."""
    reader.execute(f"create or replace temp table kept as {query}", parameters or {})
    reader.execute(f"copy kept to {sql_text(folder / (NEW + HELD_OUT))} (format parquet)")


def _write_without_slices(models: Path, version: str) -> None:
    """Write the new files of an old version that name values or rows of single users."""
    folder = models / version
    metrics = store.read_json(models, version, "metrics.json")
    if metrics.get("slices"):
        write_json(folder / f"{NEW}metrics.json", metrics | {"slices": {}})
    for name, (slices, instead) in SLICES.items():
        if name in store.read_manifest(models, version)["files"]:
            text = (folder / name).read_text(encoding="utf-8")
            (folder / f"{NEW}{name}").write_text(slices.sub(instead, text), encoding="utf-8")
    old = json.loads((folder / "golden.json").read_bytes())
    features = store.read_features(models, version)
    attributes = [features.places[name] for name in features.values]
    model = (folder / "model.onnx").read_bytes()
    golden = onnx_export.golden(model, np.array(old["rows"], np.float32), attributes)
    write_json(folder / f"{NEW}golden.json", golden)
