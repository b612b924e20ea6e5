"""Contacts that people record: one small file each, which the API writes and the jobs load.

A file's name follows from the contact's key, and a file is linked into place only if there is none
of that name. So a repeated request finds its first answer, whichever process takes it, and no lock
is needed.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from python_jobs.files import fsync

FIELDS = {
    "contact_key": "VARCHAR",
    "user_id": "VARCHAR",
    "treated_at": "TIMESTAMP",
    "action": "VARCHAR",
    "campaign": "VARCHAR",
    "channel": "VARCHAR",
    "outcome": "VARCHAR",
    "note": "VARCHAR",
    "by": "VARCHAR",
    "owner": "VARCHAR",
    "snoozed_until": "DATE",
}
"""What a contact holds, with the types of raw.treatments. Times are UTC without an offset."""

ACTIONS = ("contacted", "snoozed", "assigned")
SUFFIX = ".json"


def file_name(key: str) -> str:
    """Return the name of the file of the contact with this key."""
    return hashlib.sha256(key.encode()).hexdigest() + SUFFIX


def keep(folder: Path, contact: dict[str, Any]) -> dict[str, Any] | None:
    """Write a contact durably; return None, or the contact that has its key already.

    The contact is on the disk when this returns. Raises OSError if it cannot be written.
    """
    path = folder / file_name(contact["contact_key"])
    unfinished = folder / f".{uuid.uuid4().hex}"
    try:
        unfinished.write_text(json.dumps(contact), encoding="utf-8")
        fsync(unfinished)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return read(path)
    finally:
        unfinished.unlink(missing_ok=True)
    fsync(folder)
    return None


def read(path: Path) -> dict[str, Any]:
    """Return a contact. Raises OSError or ValueError for a file that cannot be read."""
    contact: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return contact


def files(folder: Path) -> list[Path]:
    """Return the files of all contacts, sorted; none where there is no folder yet."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def remove(folder: Path, ids: Iterable[str]) -> int:
    """Remove the contacts of a person with these ids; return how many."""
    gone = [path for path in files(folder) if read(path)["user_id"] in set(ids)]
    for path in gone:
        path.unlink()
    if gone:
        fsync(folder)
    return len(gone)
