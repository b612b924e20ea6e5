"""Reproduce: train a registered version again, from its raw files, and compare the bytes."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from python_jobs.errors import JobError
from python_jobs.files import sha256_of
from python_jobs.ingest import domain as domains
from python_jobs.ingest.load import ingest
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.training.inputs import domain_inputs
from python_jobs.training.sample import draw
from python_jobs.training.train import Inputs, train
from python_jobs.warehouse import dbt
from python_jobs.warehouse.connection import connect

WITHOUT_TESTS = ("--exclude-resource-type", "test")
NAMED = 3
"""Missing files that an error names."""


@dataclass(frozen=True)
class Reproduced:
    """What a second training gave: `same_data` and `same_model` compare hashes.

    `others`: what differs in code and libraries, which may be why.
    """

    version: str
    files: int
    same_data: bool
    same_model: bool
    others: list[str]


def reproduce(
    settings: Settings,
    version: str,
    folder: Path,
    *,
    progress: Callable[[str], None] = lambda line: None,
) -> Reproduced:
    """Load a version's raw files in their order, build, train, and compare with the version.

    `folder`: where the raw files are. All is done in a temporary home; nothing of this one changes.
    Raises JobError that names what is missing or has changed, if anything has.
    """
    manifest = store.read_manifest(settings.models, version)
    if "raw_files.json" not in manifest["files"]:
        raise JobError(
            f"{version} was trained before versions listed their raw files.",
            next_step="choose a newer version: `churnhouse models`.",
        )
    listed = store.read_json(settings.models, version, "raw_files.json")
    check_files(version, listed["files"], folder)
    domain = domains.load(listed["domain"], settings)
    place = settings.reproduction
    shutil.rmtree(place, ignore_errors=True)  # what a killed run left
    try:
        home = settings.model_copy(update={"home": place, "target": "duckdb"})
        progress("loading raw files")
        _load(home, domain, listed["files"], folder)
        progress("building")
        dbt.build(home, domain, dbt.Dbt(home), (*dbt.BEFORE_MODELS, *WITHOUT_TESTS))
        inputs = _inputs(home, domain, manifest)
        progress("training")
        trained = train(inputs, champion=manifest["champion_parameters"], progress=progress)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    onnx = hashlib.sha256(trained.onnx).hexdigest()
    return Reproduced(
        version,
        len(listed["files"]),
        trained.facts["data_hash"] == manifest["data_hash"],
        onnx == manifest["files"]["model.onnx"],
        _differences(manifest, trained.facts),
    )


def check_files(version: str, files: list[dict[str, Any]], folder: Path) -> None:
    """Raise JobError that names the files that are missing, or not as they were loaded."""
    bad = []
    for file in files:
        path = folder / file["name"]
        if not path.is_file():
            bad.append(f"{file['name']} is missing")
        elif sha256_of(path) != file["sha256"]:
            bad.append(f"{file['name']} has changed")
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise JobError(
            f"{version} cannot be trained again: {', '.join(bad[:NAMED])}{more}.",
            next_step=f"restore them below {folder}, or name their folder with --raw. Files change "
            "where a person was forgotten; rows of databases are not kept as files.",
        )


def _load(
    home: Settings, domain: domains.Domain, files: list[dict[str, Any]], folder: Path
) -> None:
    """Load the files as they came: those of one load together, at its time."""
    for moment, load in groupby(files, key=lambda file: file["ingested_at"]):
        for file in load:
            target = home.raw / file["name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / file["name"], target)
        with connect(home) as connection:
            ingest(
                connection, domain, home.raw, now=datetime.fromisoformat(moment).replace(tzinfo=UTC)
            )


def _inputs(home: Settings, domain: domains.Domain, manifest: dict[str, Any]) -> Inputs:
    with connect(home) as connection:
        draw(connection, home)
        return domain_inputs(
            connection, domain, seed=manifest["seed"], time_budget=manifest["time_budget"]
        )


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return in words what differs between two trainings but the data."""
    found = [
        f"{name} {old['libraries'].get(name, 'none')}, now {now}"
        for name, now in new["libraries"].items()
        if old["libraries"].get(name) != now
    ]
    commit = store.git_commit()
    if old["git_commit"] != commit:
        found.append(f"code of commit {old['git_commit']}, now {commit}")
    if old["candidates"] != new["candidates"]:
        found.append(f"candidates {', '.join(old['candidates'])}")
    return found
