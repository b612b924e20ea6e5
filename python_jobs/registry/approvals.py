"""Approvals and rejections of versions, and the list of versions that were rolled back."""

from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import read_json, replace_json
from python_jobs.publication.signature import NOT_SIGNED, is_accepted, signed
from python_jobs.registry import store
from python_jobs.registry.records import Decisions, Withdrawn
from python_jobs.registry.tables import add_decision
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import give_up

WAITS = "waits for approval"
"""Part of the reason when a version has earned promotion and still needs an approval."""


def decide(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    version: str,
    *,
    is_approved: bool,
    by: str,
    note: str,
    now: datetime,
) -> dict[str, Any]:
    """Record who approves or rejects a version and why; return the decision. It promotes nothing.

    All decisions are in ml.approvals, a version's last one counts and is in approvals.json. It
    holds the model's sha256, so an approval is valid for these bytes only, and a signature if there
    is a signing key. A rejected version is not promoted until somebody approves it. Raises JobError
    if there is no such version, if name or note are empty, or if a version in production is
    rejected.
    """
    decision = "approved" if is_approved else "rejected"
    if not by.strip() or not note.strip():
        raise JobError(
            f"To be {decision}, {version} needs a name and a note.",
            next_step="give them with --by and --note.",
        )
    production = store.production(settings.models)
    if not is_approved and production and production.version == version:
        raise JobError(
            f"{version} is in production.",
            next_step="run `churnhouse rollback`, which also keeps it from coming back."
            if production.previous
            else "train and promote another version first; there is none to return to.",
        )
    store.verified(settings.models, version, "model.onnx")
    sha256 = store.read_manifest(settings.models, version)["files"]["model.onnx"]
    moment = store.utc(now)
    given: dict[str, Any] = {"by": by.strip(), "note": note.strip(), "onnx_sha256": sha256}
    given["files"] = store.scoring_hashes(settings.models, version)
    given[f"{decision}_at"] = f"{moment.isoformat()}Z"
    given = signed(given, f"decision on {version}", settings.signing_key)
    con.begin()
    try:
        row = {"decided_at": moment, "version": version, "is_approved": is_approved}
        row |= {"decided_by": given["by"], "note": given["note"]}
        add_decision(con, "ml.approvals", row)
        _add(settings.models / "approvals.json", Decisions, version, given)
        con.commit()
    except BaseException:
        give_up(con)
        raise
    return given


def approval(settings: Settings, version: str) -> dict[str, Any] | None:
    """Return the approval of a version's present model file; None if nobody approved it.

    With a signing key, one without its signature does not count.
    """
    given = _approval(settings.models, version)
    return given if given and _is_accepted(settings, version, given) else None


def still_needed(settings: Settings, version: str) -> str | None:
    """Return what an approval of a version is waited for, or None if it has one."""
    given = _approval(settings.models, version)
    if given and not _is_accepted(settings, version, given):
        return f"{WAITS} (the one by {given.get('by')} {NOT_SIGNED})"
    return None if given else WAITS


def _approval(models: Path, version: str) -> dict[str, Any] | None:
    given = _decisions(models).get(version)
    if given is None or "approved_at" not in given:
        return None
    hashes = store.scoring_hashes(models, version)
    is_for_model = given.get("onnx_sha256") == hashes["model.onnx"]
    # earlier releases approved the model's file alone
    return given if is_for_model and given.get("files", hashes) == hashes else None


def unsigned(settings: Settings) -> list[str]:
    """Return the versions whose approval would count but for a missing signature."""
    return [
        version
        for version in store.versions(settings.models)
        if (given := _approval(settings.models, version))
        and not _is_accepted(settings, version, given)
    ]


def _is_accepted(settings: Settings, version: str, given: dict[str, Any]) -> bool:
    return is_accepted(given, f"decision on {version}", settings.signing_key)


def rejection(models: Path, version: str) -> dict[str, Any] | None:
    """Return the rejection of a version; None if nobody rejected it, or it was approved since.

    One without a signature counts too: at worst a version waits for somebody to approve it.
    """
    given = _decisions(models).get(version)
    return given if given and "rejected_at" in given else None


def withdrawn(models: Path) -> dict[str, dict[str, Any]]:
    """Return the versions that were rolled back, and when."""
    return _read(models / "withdrawn.json", Withdrawn)


def withdraw(models: Path, version: str, now: datetime) -> None:
    """Record that a version was rolled back. It is promoted again only if the user names it."""
    moment = {"rolled_back_at": f"{store.utc(now).isoformat()}Z"}
    _add(models / "withdrawn.json", Withdrawn, version, moment)


def _decisions(models: Path) -> dict[str, dict[str, Any]]:
    return _read(models / "approvals.json", Decisions)


def _read(path: Path, kind: Any) -> dict[str, Any]:
    if not path.exists():
        return {}
    return read_json(path, kind, next_step="restore it from a backup; it holds people's decisions.")


def _add(path: Path, kind: Any, key: str, value: dict[str, Any]) -> None:
    """Add an entry to a JSON file. Readers see the old file or the new one, never a part."""
    replace_json(path, _read(path, kind) | {key: value})
