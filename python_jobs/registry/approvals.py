"""Approvals of versions for production, and the list of versions that were rolled back."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from python_jobs.errors import JobError
from python_jobs.files import replace_json
from python_jobs.registry import store
from python_jobs.settings import Settings

WAITS = "waits for approval"
"""Part of the reason when a version has earned promotion and still needs an approval."""


def approve(
    settings: Settings, version: str, *, by: str, note: str, now: datetime
) -> dict[str, Any]:
    """Record who approves a version and why; return the approval. It promotes nothing.

    The approval holds the model's sha256, so it is valid for these bytes only. Raises JobError if
    there is no such version, or if name or note are empty.
    """
    if not by.strip() or not note.strip():
        raise JobError(
            "An approval needs a name and a note.",
            next_step=f'run `churnhouse approve {version} --by NAME --note "why"`.',
        )
    store.verified(settings.models, version, "model.onnx")
    sha256 = store.read_manifest(settings.models, version)["files"]["model.onnx"]
    given = {"by": by.strip(), "note": note.strip(), "onnx_sha256": sha256}
    given["approved_at"] = f"{store.utc(now).isoformat()}Z"
    _add(settings.models / "approvals.json", version, given)
    return given


def approval(models: Path, version: str) -> dict[str, Any] | None:
    """Return the approval of a version's present model file; None if nobody approved it."""
    given = _read(models / "approvals.json").get(version)
    expected = store.read_manifest(models, version)["files"]["model.onnx"]
    return given if given and given["onnx_sha256"] == expected else None


def withdrawn(models: Path) -> dict[str, dict[str, Any]]:
    """Return the versions that were rolled back, and when."""
    return _read(models / "withdrawn.json")


def withdraw(models: Path, version: str, now: datetime) -> None:
    """Record that a version was rolled back. It is promoted again only if the user names it."""
    moment = {"rolled_back_at": f"{store.utc(now).isoformat()}Z"}
    _add(models / "withdrawn.json", version, moment)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes()) if path.exists() else {}


def _add(path: Path, key: str, value: dict[str, Any]) -> None:
    """Add an entry to a JSON file. Readers see the old file or the new one, never a part."""
    replace_json(path, _read(path) | {key: value})
