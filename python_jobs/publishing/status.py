"""The status of the published version, read only from published/current."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from python_jobs.errors import JobError
from python_jobs.files import read_json, sha256_of
from python_jobs.publication.manifest import Manifest
from python_jobs.publication.signature import NOT_SIGNED, is_accepted
from python_jobs.settings import Settings


def read(settings: Settings) -> dict[str, Any]:
    """Return the manifest of the current version, once all its files are verified.

    Raises JobError if nothing is published yet, a file is damaged, or there is a signing key and
    the manifest lacks its signature.
    """
    folder = (settings.published / "current").resolve()  # resolved once, since `current` may change
    path = folder / "manifest.json"
    link = settings.published / "current"
    if os.path.lexists(link):
        if not link.is_symlink():
            raise JobError(
                f"{link} is no link to a version.",
                next_step="remove it, then run `churnhouse publish`.",
            )
        if not path.exists():
            raise JobError(
                f"{link} names {folder.name}, which is not there.",
                next_step="run `churnhouse publish`.",
            )
    if not path.exists():
        raise JobError(
            f"Nothing is published at {settings.published}.", next_step="run `churnhouse run`."
        )
    again = "run `churnhouse publish` to publish again."
    manifest = read_json(path, Manifest, next_step=again)
    if manifest["version"] != folder.name:
        raise JobError(f"{path} is of another version, {manifest['version']}.", next_step=again)
    if not is_accepted(manifest, "publication", settings.signing_key):
        raise JobError(f"{path} {NOT_SIGNED}.", next_step=again)
    verify(folder, manifest)
    return manifest


def verify(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise JobError, naming the file, if a file is not as the manifest says."""
    for name, facts in manifest["files"].items():
        path = folder / name
        try:
            sha256 = sha256_of(path)
        except (OSError, ValueError):  # a name may be none
            sha256 = None
        if sha256 != facts["sha256"]:
            raise JobError(
                f"{path} is missing or is not the file that was published.",
                next_step="restore it, or run `churnhouse publish` to publish again.",
            )


def age(manifest: dict[str, Any], now: datetime) -> str:
    """Return how long ago the version was published, in the largest whole unit."""
    published_at = datetime.fromisoformat(manifest["published_at"])
    seconds = max(0, int((now - published_at).total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= length or unit == "second":
            count = seconds // length
            return f"{count} {unit}{'s' if count != 1 else ''}"
    raise AssertionError("seconds is the last unit")
