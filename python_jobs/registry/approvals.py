"""Approvals: who allowed a version into production, and which versions were rolled back."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from python_jobs.errors import JobError
from python_jobs.files import replace_json
from python_jobs.registry import store
from python_jobs.settings import Settings

WAITS = "waits for approval"
"""What is said of a version that has earned promotion where the environment asks for a name."""


def approve(
    settings: Settings, version: str, *, by: str, note: str, now: datetime
) -> dict[str, Any]:
    """Record who approves a version and why; promoting it is the next step.

    The approval is of these very bytes: it holds the model's sha256. Raises JobError if there is no
    such version, or if name or note are empty.
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
    """The approval of a version's present model; None if nobody approved it."""
    given = _read(models / "approvals.json").get(version)
    expected = store.read_manifest(models, version)["files"]["model.onnx"]
    return given if given and given["onnx_sha256"] == expected else None


def withdrawn(models: Path) -> dict[str, dict[str, Any]]:
    """The versions that were rolled back, and when."""
    return _read(models / "withdrawn.json")


def withdraw(models: Path, version: str, now: datetime) -> None:
    """Record that a version was rolled back: it is promoted again only if it is named."""
    moment = {"rolled_back_at": f"{store.utc(now).isoformat()}Z"}
    _add(models / "withdrawn.json", version, moment)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes()) if path.exists() else {}


def _add(path: Path, key: str, value: dict[str, Any]) -> None:
    """Write a file of marks anew with one more; a reader sees the old file or the new one."""
    replace_json(path, _read(path) | {key: value})
