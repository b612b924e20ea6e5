"""The registry: immutable version folders, and the pointer that says which one is in production.

The folders are the truth. ml.model_versions and ml.fold_metrics repeat them for SQL.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from python_jobs.errors import JobError
from python_jobs.files import fsync, replace_json, sha256_of, write_json
from python_jobs.publication import feature_facts
from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.settings import PROJECT
from python_jobs.warehouse.features import Features

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True)
class Production:
    """The content of production.json."""

    version: str
    promoted_at: str
    previous: str | None


def utc(moment: datetime) -> datetime:
    """An aware moment as the naive UTC time, in whole seconds, that the warehouse stores."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def version_name(now: datetime, data_hash: str) -> str:
    """Name of a version: sorts by time, and depends on nothing but time and data."""
    return f"{utc(now):%Y-%m-%dT%H%M%SZ}-{data_hash[:8]}"


def versions(models: Path) -> list[str]:
    """Complete versions, oldest first. What a crash left behind does not count."""
    found = models.iterdir() if models.is_dir() else ()
    return sorted(
        p.name for p in found if VERSION.fullmatch(p.name) and (p / "manifest.json").exists()
    )


@contextlib.contextmanager
def new_version(models: Path, version: str, manifest: dict[str, Any]) -> Iterator[Path]:
    """Give a folder to fill; on leaving, hash and seal it, and rename it to its version.

    Until the rename there is no such version. A version of that name that exists already is left
    as it is if its model is the same; else JobError.
    """
    models.mkdir(parents=True, exist_ok=True)
    for leak in models.glob(".writing-*"):
        shutil.rmtree(leak)
    folder = models / f".writing-{version}"
    folder.mkdir()
    try:
        yield folder
        files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        write_json(folder / "manifest.json", manifest | {"files": files})
        for path in [*folder.iterdir(), folder]:
            fsync(path)
        if version in versions(models):
            if read_manifest(models, version)["files"]["model.onnx"] != files["model.onnx"]:
                raise JobError(
                    f"{models / version} exists and holds another model.",
                    next_step="train again in a second.",
                )
        else:
            folder.rename(models / version)
            fsync(models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_manifest(models: Path, version: str) -> dict[str, Any]:
    """The manifest of a complete version; JobError if there is none."""
    if version not in versions(models):
        raise JobError(
            f"There is no model version {version} in {models}.",
            next_step="see `churnhouse models`, or run `churnhouse train`.",
        )
    manifest: dict[str, Any] = json.loads((models / version / "manifest.json").read_bytes())
    return manifest


def read_json(models: Path, version: str, name: str) -> dict[str, Any]:
    """Content of a version's JSON file, once verified."""
    content: dict[str, Any] = json.loads(verified(models, version, name).read_bytes())
    return content


def read_features(models: Path, version: str) -> Features:
    """The features of a version."""
    saved = read_json(models, version, "features.json")
    return Features(saved["names"], saved["types"])


def read_feature_facts(models: Path, version: str) -> dict[str, FeatureFact]:
    """What each feature of a version measures, in the model's order."""
    return feature_facts.from_json(read_json(models, version, "features.json"))


def load_joblib(models: Path, version: str) -> Any:
    """The scikit-learn model of a version, unpickled only if its hash is the registered one."""
    import joblib

    return joblib.load(verified(models, version, "model.joblib"))


def verified(models: Path, version: str, name: str) -> Path:
    """Path of a version's file whose content is what was registered; else JobError names it."""
    path = models / version / name
    expected = read_manifest(models, version)["files"].get(name)
    if not path.is_file() or sha256_of(path) != expected:
        raise JobError(
            f"{path} is missing or is not the file that was registered.",
            next_step="restore it from a backup, or promote another version.",
        )
    return path


def production(models: Path) -> Production | None:
    """Which version is in production; None before the first promotion."""
    path = models / "production.json"
    return Production(**json.loads(path.read_bytes())) if path.exists() else None


def swap_production(
    models: Path, expected: Production | None, version: str, now: datetime
) -> Production:
    """Point production to a version, if it still points to where `expected` says; else JobError."""
    new = Production(version, f"{utc(now).isoformat()}Z", expected.version if expected else None)
    lock = os.open(models / "production.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if production(models) != expected:
            raise JobError(
                "Another promotion was faster; production was left as that one set it.",
                next_step="look at `churnhouse models`, then promote again if still wanted.",
            )
        replace_json(models / "production.json", asdict(new))
    finally:
        os.close(lock)
    return new


def git_commit() -> str | None:
    """The commit of the code that runs, of the image or the repository; None without either."""
    if stamped := os.environ.get("CHURNHOUSE_COMMIT"):
        return stamped
    if not (PROJECT / "pyproject.toml").exists():
        return None  # an installed copy: the repository around it is not Churnhouse's
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
        return done.stdout.strip()
    return None
