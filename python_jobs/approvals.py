"""What people decide about versions: approve one, roll back to the one before, see them all."""

import json
from datetime import datetime
from pathlib import Path

import duckdb

from python_jobs import registry
from python_jobs.errors import JobError
from python_jobs.settings import Settings

WAITS = "waits for approval"
"""What is said of a version that has earned promotion where the environment asks for a name."""


def approve(settings: Settings, version: str, *, by: str, note: str, now: datetime) -> dict:
    """Record who approves a version and why; promoting it is the next step.

    The approval is of these very bytes: it holds the model's sha256. Raises JobError if there is no
    such version, or if name or note are empty.
    """
    if not by.strip() or not note.strip():
        raise JobError(
            "An approval needs a name and a note.",
            next_step=f'run `churnhouse approve {version} --by NAME --note "why"`.',
        )
    registry.verified(settings.models, version, "model.onnx")
    sha256 = registry.read_manifest(settings.models, version)["files"]["model.onnx"]
    given = {"by": by.strip(), "note": note.strip(), "onnx_sha256": sha256}
    given["approved_at"] = f"{registry.utc(now).isoformat()}Z"
    _add(settings.models / "approvals.json", version, given)
    return given


def approval(models: Path, version: str) -> dict | None:
    """The approval of a version's present model; None if nobody approved it."""
    given = _read(models / "approvals.json").get(version)
    expected = registry.read_manifest(models, version)["files"]["model.onnx"]
    return given if given and given["onnx_sha256"] == expected else None


def withdrawn(models: Path) -> dict[str, dict]:
    """The versions that were rolled back, and when."""
    return _read(models / "withdrawn.json")


def rollback(con: duckdb.DuckDBPyConnection, settings: Settings, *, now: datetime) -> str:
    """Point production to the version before the present one, which is marked withdrawn.

    The decision is recorded in ml.promotions; scoring and publishing are the caller's next steps.
    Raises JobError if there is no version before, a file of it is not what was registered, it was
    itself rolled back, or another promotion was faster. Returns the version now in production.
    """
    from python_jobs.promote import Decision, record

    models = settings.models
    current = registry.production(models)
    if current is None or current.previous is None:
        raise JobError(
            "There is no production version to return to.",
            next_step="name one: `churnhouse models`, then `churnhouse promote VERSION`.",
        )
    target = current.previous
    if target in withdrawn(models):
        raise JobError(
            f"The version before, {target}, was itself rolled back.",
            next_step="choose one with `churnhouse models`, then `churnhouse promote VERSION`.",
        )
    for name in registry.read_manifest(models, target)["files"]:
        registry.verified(models, target, name)
    reason = f"rolled back from {current.version}"

    def act() -> None:
        registry.swap_production(models, current, target, now)
        moment = {"rolled_back_at": f"{registry.utc(now).isoformat()}Z"}
        _add(models / "withdrawn.json", current.version, moment)

    record(con, Decision(True, [reason], target, current.version), now, act)
    return target


def listing(con: duckdb.DuckDBPyConnection, settings: Settings) -> list[dict]:
    """Every version, newest first, for `churnhouse models`.

    {version, status, estimator, created_at, approved_by, metrics...}: status is production,
    previous, rolled back, promoted (once), unapproved, refused or not judged yet; metrics are
    those of ml.model_versions, with the interval of average_precision.
    """
    from python_jobs.mirror import mirror

    models = settings.models
    mirror(con, models)
    pointer, gone = registry.production(models), withdrawn(models)
    judged = dict(
        con.execute(
            """
            select version, arg_max(case
                when is_promoted then 'promoted'
                when contains(reason, $waits) then 'unapproved'
                else 'refused'
            end, decided_at)
            from ml.promotions group by version
            """,
            {"waits": WAITS},
        ).fetchall()
    )

    def status(version: str) -> str:
        if pointer and version == pointer.version:
            return "production"
        if version in gone:
            return "rolled back"
        if pointer and version == pointer.previous:
            return "previous"
        return judged.get(version, "not judged yet")

    found = con.execute("from ml.model_versions order by version desc")
    names = [column[0] for column in found.description]
    known = registry.versions(models)
    listed = []
    for row in found.fetchall():
        facts = dict(zip(names, row, strict=True))
        if (version := facts["version"]) in known:
            given = approval(models, version)
            extra = {"status": status(version), "approved_by": given and given["by"]}
            listed.append(facts | extra)
    return listed


def _read(path: Path) -> dict:
    return json.loads(path.read_bytes()) if path.exists() else {}


def _add(path: Path, key: str, value: dict) -> None:
    """Write a file of marks anew with one more; a reader sees the old file or the new one."""
    temporary = path.with_suffix(".new")
    registry.write_json(temporary, _read(path) | {key: value})
    temporary.replace(path)
