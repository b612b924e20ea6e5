"""The registry: immutable version folders, and the pointer to the one in production.

ml.model_versions and ml.fold_metrics are copies for SQL, made from the folders.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from python_jobs import files
from python_jobs.errors import JobError
from python_jobs.files import fsync, replace_json, sequence_of, sha256_of, write_json
from python_jobs.publication.signature import NOT_SIGNED, is_accepted, signed
from python_jobs.registry import records
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse.features import Features

RESTORE = "restore it from a backup, or train and promote another version."
SCORING = ("model.onnx", "reasons.onnx", "features.json", "reasons.json", "typical.json")
"""Files of a version that decide scores and reasons; none is rewritten later."""

KIND = "model version"
"""What a version's manifest is signed as."""

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True)
class Production:
    """The content of production.json."""

    version: str
    promoted_at: str
    previous: str | None


def utc(moment: datetime) -> datetime:
    """Return an aware time as the naive UTC time in whole seconds that the warehouse stores."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=0)


def version_name(now: datetime, data_hash: str) -> str:
    """Return the name of a version, which depends only on time and data and sorts by time."""
    return f"{utc(now):%Y-%m-%dT%H%M%SZ}-{data_hash[:8]}"


def versions(models: Path) -> list[str]:
    """Return the complete versions, the first one first. Leftovers of a crash are not included.

    Their numbers decide, not their names: a clock that was once ahead makes no version the newest.
    """
    names = [path.name for path in models.iterdir()] if models.is_dir() else []
    complete = [name for name in names if _is_complete(models, name)]
    return sorted(complete, key=lambda name: (sequence_of(models / name), name))


def _is_complete(models: Path, version: str) -> bool:
    return bool(VERSION.fullmatch(version)) and (models / version / "manifest.json").exists()


@contextlib.contextmanager
def new_version(
    models: Path, version: str, manifest: dict[str, Any], key: str | None = None
) -> Iterator[Path]:
    """Yield a folder to fill; afterwards write its manifest and rename it to its version.

    With a key the manifest is signed. The version does not exist before the rename. An existing
    version with the same name and model is left unchanged. Raises JobError if it has another model.
    """
    models.mkdir(parents=True, exist_ok=True)
    for leak in models.glob(".writing-*"):
        shutil.rmtree(leak)
    folder = models / f".writing-{version}"
    folder.mkdir()
    try:
        yield folder
        hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        sequence = 1 + max((sequence_of(models / name) for name in versions(models)), default=0)
        facts = manifest | {"sequence": sequence, "files": hashes}
        write_json(folder / "manifest.json", signed(facts, KIND, key))
        for path in [*folder.iterdir(), folder]:
            fsync(path)
        if _is_complete(models, version):
            if read_manifest(models, version)["files"]["model.onnx"] != hashes["model.onnx"]:
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
    """Return the manifest of a complete version. Raises JobError if there is no such version."""
    if not _is_complete(models, version):
        raise JobError(
            f"There is no model version {version} in {models}.",
            next_step="see `churnhouse models`, or run `churnhouse train`.",
        )
    path = models / version / "manifest.json"
    manifest = files.read_json(path, records.Manifest, next_step=RESTORE)
    if manifest["version"] != version:
        raise JobError(f"{path} is of another version, {manifest['version']}.", next_step=RESTORE)
    return manifest


def not_trained_here(settings: Settings, version: str) -> str | None:
    """Return why a version may be none of ours: it lacks the signature. None without a key."""
    if is_accepted(read_manifest(settings.models, version), KIND, settings.signing_key):
        return None
    return f"its manifest {NOT_SIGNED}: run `churnhouse train` for one that is"


def made_from(models: Path, inputs_hash: str) -> str | None:
    """Return the newest version if it was trained from these inputs and is whole, else None."""
    newest = next(reversed(versions(models)), None)
    if newest is None:
        return None
    manifest = read_manifest(models, newest)
    if manifest.get("inputs_hash") != inputs_hash:
        return None
    try:
        for name in manifest["files"]:
            verified(models, newest, name)
    except JobError:
        return None
    return newest


def champion_parameters(models: Path) -> dict[str, dict[str, Any]]:
    """Return the production version's parameters by member; {} if there is none."""
    champion = production(models)
    if champion is None or not _is_complete(models, champion.version):
        return {}
    parameters: dict[str, dict[str, Any]] = read_manifest(models, champion.version)["parameters"]
    return parameters


def read_json(models: Path, version: str, name: str) -> dict[str, Any]:
    """Return the content of a version's JSON file, once verified."""
    path = verified(models, version, name)
    return files.read_json(path, dict[str, Any], next_step=RESTORE, most=path.stat().st_size)


def read_features(models: Path, version: str) -> Features:
    """Return the features of a version."""
    saved = read_json(models, version, "features.json")
    return Features(saved["names"], saved["types"], saved.get("values", {}))


def load_joblib(models: Path, version: str) -> Any:
    """Return the scikit-learn model of a version; it is unpickled only if its hash matches."""
    import joblib

    return joblib.load(verified(models, version, "model.joblib"))


def verified(models: Path, version: str, name: str) -> Path:
    """Return the path of a version's file. Raises JobError if it is not as registered."""
    path = models / version / name
    expected = read_manifest(models, version)["files"].get(name)
    if not path.is_file() or sha256_of(path) != expected:
        raise JobError(
            f"{path} is missing or is not the file that was registered.",
            next_step="restore it from a backup, or promote another version.",
        )
    return path


def production(models: Path) -> Production | None:
    """Return the content of production.json; None before the first promotion."""
    path = models / "production.json"
    if not path.exists():
        return None
    content = files.read_json(
        path,
        records.Pointer,
        next_step="restore it from a backup, or remove it and run `churnhouse promote VERSION`.",
    )
    return Production(*(content[name] for name in Production.__annotations__))


def scoring_hashes(models: Path, version: str) -> dict[str, str]:
    """Return the sha256 of each file of a version that decides what users are told."""
    registered = read_manifest(models, version)["files"]
    return {name: registered[name] for name in SCORING if name in registered}


def is_signed(settings: Settings) -> bool:
    """Return whether production.json and the model it names are as they were signed.

    Always true without a signing key, or before the first promotion.
    """
    if settings.signing_key is None or (chosen := production(settings.models)) is None:
        return True
    content = _content(settings.models)
    return is_accepted(content, "production", settings.signing_key) and content.get(
        "files"
    ) == scoring_hashes(settings.models, chosen.version)


def check_signed(settings: Settings) -> None:
    """Raise JobError unless production.json and the model it names are as they were signed."""
    if is_signed(settings) or (chosen := production(settings.models)) is None:
        return
    raise JobError(
        f"{settings.models / 'production.json'}, which names {chosen.version}, {NOT_SIGNED}.",
        next_step="restore models/ from a backup if somebody changed it; if the key is new, look "
        f"at that version, then run `churnhouse promote {chosen.version}`.",
    )


def check_previous(settings: Settings) -> None:
    """Raise JobError if there is a signing key and the previous version has changed since."""
    chosen = production(settings.models)
    if settings.signing_key is None or chosen is None or chosen.previous is None:
        return
    was = _content(settings.models).get("previous_files")
    if was != scoring_hashes(settings.models, chosen.previous):
        raise JobError(
            f"The version before, {chosen.previous}, is not known to be the one that was in "
            "production.",
            next_step="choose one with `churnhouse models`, then `churnhouse promote VERSION`.",
        )


def sign_production(settings: Settings) -> None:
    """Sign what production.json says now, for somebody who named that version."""
    with _promotion_lock(settings.models):
        if chosen := production(settings.models):
            _write_production(settings, chosen, previous_files=None)


def swap_production(
    settings: Settings, expected: Production | None, version: str, now: datetime
) -> Production:
    """Point production to a version. Raises JobError if it no longer equals `expected`."""
    models = settings.models
    new = Production(version, f"{utc(now).isoformat()}Z", expected.version if expected else None)
    with _promotion_lock(models):
        if production(models) != expected:
            raise JobError(
                "Another promotion was faster; production was left as that one set it.",
                next_step="look at `churnhouse models`, then promote again if still wanted.",
            )
        previous_files = _content(models).get("files") if expected else None
        _write_production(settings, new, previous_files)
    return new


def _content(models: Path) -> dict[str, Any]:
    return files.read_json(models / "production.json", records.Pointer, next_step=RESTORE)


def _write_production(settings: Settings, chosen: Production, previous_files: Any) -> None:
    content = asdict(chosen)
    if settings.signing_key:
        content["files"] = scoring_hashes(settings.models, chosen.version)
        content["previous_files"] = previous_files
    content = signed(content, "production", settings.signing_key)
    replace_json(settings.models / "production.json", content)


@contextlib.contextmanager
def _promotion_lock(models: Path) -> Iterator[None]:
    """Hold the lock of production.json."""
    lock = os.open(models / "production.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def git_commit() -> str | None:
    """Return the commit of the running code, from image or repository; None if unknown."""
    if stamped := os.environ.get("CHURNHOUSE_COMMIT"):
        return stamped
    if not (PROJECT / "pyproject.toml").exists():
        return None  # an installed copy, which may lie in another project's repository
    command = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
        return done.stdout.strip()
    return None
