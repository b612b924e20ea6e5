"""Contacts that people record: one small file each, which the API writes and the jobs load.

A file's name follows from the contact's key, and a file is linked into place only if there is none
of that name. So a repeated request finds its first answer, whichever process takes it, and no lock
is needed. A contact is taken back by another file, which names its key.
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from python_jobs.files import fsync, read_bounded

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
    "withdraws": "VARCHAR",
}
"""What a contact holds, with the types of raw.treatments. Times are UTC without an offset."""

WITHDRAWN = "withdrawn"
"""The action that takes back the contact whose key stands in `withdraws`."""

ACTIONS = ("contacted", "snoozed", "assigned", WITHDRAWN)
SUFFIX = ".json"
LARGEST = 2**20
"""Bytes of a contact's file."""

FIRST_YEAR, LAST_YEAR = 1970, 9999
"""Between them, the day of a time is known in every zone."""

UNFINISHED_SECONDS = 600
"""After so long a file that was never linked into place is a killed process's."""


def file_name(key: str) -> str:
    """Return the name of the file of the contact with this key."""
    return hashlib.sha256(key.encode()).hexdigest() + SUFFIX


def withdrawal_key(key: str) -> str:
    """Return the key under which the contact with a key is taken back, once."""
    return f"{key}/{WITHDRAWN}"


def is_of_withdrawal(key: str) -> bool:
    """Return whether a key looks like that of a withdrawal, which no contact may have."""
    return key.endswith(f"/{WITHDRAWN}")


def keep(folder: Path, contact: dict[str, Any]) -> dict[str, Any] | None:
    """Write a contact durably; return None, or the contact that has its key already.

    Either is on the disk when this returns. Raises OSError if it cannot be written, ValueError if
    the earlier one cannot be read.
    """
    path = folder / file_name(contact["contact_key"])
    unfinished = folder / f".{uuid.uuid4().hex}"
    earlier = None
    try:
        unfinished.write_text(json.dumps(contact), encoding="utf-8")
        fsync(unfinished)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            earlier = read(path)
    finally:
        unfinished.unlink(missing_ok=True)
    fsync(folder)
    return earlier


def read(path: Path) -> dict[str, Any]:
    """Return a contact. Raises OSError or ValueError for a file that holds none."""
    try:
        contact = json.loads(read_bounded(path, LARGEST))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(contact, dict) or not FIELDS.keys() - {"withdraws"} <= contact.keys():
        raise ValueError("fields are missing")
    contact.setdefault("withdraws", None)  # older files lack it
    if not all(isinstance(contact[name], str | None) for name in FIELDS):
        raise ValueError("a field is no text")
    "".join(contact[name] or "" for name in FIELDS).encode()  # half a character is no text
    if contact["action"] not in ACTIONS or not contact["user_id"] or not contact["contact_key"]:
        raise ValueError("no such action, nobody, or no key")
    if (contact["action"] == WITHDRAWN) != bool(contact["withdraws"]):
        raise ValueError("takes nothing back")
    at = datetime.fromisoformat(contact["treated_at"] or "")
    if at.tzinfo or not FIRST_YEAR <= at.year < LAST_YEAR:
        raise ValueError("no time of a contact in UTC")
    if contact["action"] == "snoozed" or contact["snoozed_until"] is not None:
        date.fromisoformat(contact["snoozed_until"] or "")
    return contact


def files(folder: Path) -> list[Path]:
    """Return the files of all contacts, sorted; none where there is no folder yet."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def standing(contacts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the contacts that were not taken back."""
    happened = list(contacts)
    gone = {contact["withdraws"] for contact in happened} - {None}
    return [
        contact
        for contact in happened
        if contact["action"] != WITHDRAWN and contact["contact_key"] not in gone
    ]


def by_user(contacts: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the contacts of each user, the newest last; of one moment, as contact_states does."""
    of: dict[str, list[dict[str, Any]]] = {}
    for contact in sorted(contacts, key=_in_time):
        of.setdefault(contact["user_id"], []).append(contact)
    return of


def owner_of(contacts: Iterable[dict[str, Any]]) -> str | None:
    """Return who works on a user with these contacts; None if none says so. The newest is last."""
    return next((one["owner"] for one in reversed([*contacts]) if one["owner"]), None)


def _in_time(contact: dict[str, Any]) -> tuple[str, ...]:
    others = ("snoozed_until", "owner", "contact_key")
    return contact["treated_at"], *(contact[name] or "" for name in others)


def day_of(contact: dict[str, Any], zone: ZoneInfo) -> date:
    """Return the day of a contact in a time zone, as macro local_date does."""
    return datetime.fromisoformat(contact["treated_at"]).replace(tzinfo=UTC).astimezone(zone).date()


def waits(
    contacts: Iterable[dict[str, Any]], as_of_date: date, pause_days: int, zone: ZoneInfo
) -> bool:
    """Return whether a user with these contacts is left out of a list, as contact_candidates does.

    That is so after a contact of the last `pause_days`, and before the day of the newest snooze.
    Days are those of `zone`. The newest contact comes last.
    """
    until = ""
    for contact in contacts:
        is_call = contact["action"] == "contacted"
        if is_call and (as_of_date - day_of(contact, zone)).days < pause_days:
            return True
        until = contact["snoozed_until"] if contact["action"] == "snoozed" else until
    return bool(until) and (date.fromisoformat(until) - as_of_date).days > 1


def sweep(folder: Path, *, now: datetime) -> None:
    """Remove files that a killed process left unfinished long before `now`, which has a zone."""
    limit = now.timestamp() - UNFINISHED_SECONDS
    for path in folder.glob(".*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < limit:
                path.unlink()


def remove(folder: Path, ids: Iterable[str]) -> int:
    """Remove the contacts of a person with these ids; return how many.

    Raises OSError or ValueError, and removes nothing, if a contact cannot be read.
    """
    wanted = set(ids)
    gone = [path for path in files(folder) if read(path)["user_id"] in wanted]
    gone += [path for path in folder.glob(".*") if _unfinished_of(path, wanted)]
    for path in gone:
        path.unlink(missing_ok=True)
    if gone:
        fsync(folder)
    return len(gone)


def _unfinished_of(path: Path, ids: set[str]) -> bool:
    """Return whether a file that was never linked into place names one of the ids."""
    try:
        text = read_bounded(path, LARGEST).decode()
    except (OSError, ValueError):
        return False
    return any(json.dumps(user_id) in text for user_id in ids)
