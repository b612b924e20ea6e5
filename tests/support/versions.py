"""Makes more published versions from one; the content shows which one it is."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from python_jobs.publishing.publish import point


def current(home: Path) -> Path:
    return (home / "published" / "current").resolve()


def publish_again(home: Path, number: int, source: Path | None = None) -> Path:
    """Write a valid version whose users all have `model-<number>`; do not make it current."""
    source = source or current(home)
    folder = home / "published" / f"2025-04-30-30000101T{number:012d}Z"
    work = home / "published" / f".{folder.name}"
    shutil.copytree(source, work)
    model_version = f"model-{number}"
    change_store(work, f"update users set model_version = '{model_version}'")
    change_manifest(work, version=folder.name, model_version=model_version)
    seal(work)
    work.rename(folder)
    return folder


def make_current(folder: Path) -> None:
    point(folder.parent, folder.name)


def change_store(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        store.execute("pragma journal_mode = off")
        for statement in statements:
            store.execute(statement)
        store.commit()


def change_manifest(folder: Path, **members: object) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest |= {"published_at": datetime.now(UTC).isoformat()} | members
    path.write_text(json.dumps(manifest))


def seal(folder: Path) -> None:
    """Update the manifest's hashes to the files' content."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            name = path.relative_to(folder).as_posix()
            manifest["files"].setdefault(name, {})["sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))
