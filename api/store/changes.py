"""What changed in the list since an earlier version, as activation/list_changes says it.

Contacts that people recorded since then count too: nobody is added whom the list would not call.
"""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from api.http.errors import Problem, error, invalid
from api.store import checks
from api.store.contacts import Contacts
from api.store.publication import VERSION, Publication
from python_jobs.publication import contacts as of_people
from python_jobs.publication import prediction
from python_jobs.publication.candidate import OF_THE_RUN
from python_jobs.publication.manifest import manifest_of
from python_jobs.publication.signature import is_accepted

LONGEST = 20_000
"""Users of the longest list that is compared here; longer ones are published as files."""

Row = dict[str, Any]
Waits = Callable[[str], bool]


def answer(
    published: Path,
    current: Publication,
    since: str | None,
    contacts: Contacts,
    signing_key: str | None = None,
) -> bytes:
    """Return the JSON answer of /v1/changes. It reads files, so it runs in a thread.

    Without `since`, all users of the list are new. Raises Problem: 422 if this is no version or the
    list is too long, 410 if the version cannot be compared any more, 503 if the current one has no
    list or is being replaced.
    """
    if since is not None and not VERSION.fullmatch(since):
        message = "take it from published_version of an answer"
        raise invalid("This is no version.", [error("query", "since", message)])
    try:
        now = _list(published / current.version, current.manifest)
    except (OSError, sqlite3.Error):
        detail = "The published version has no list, or is being replaced. Ask again later."
        raise Problem(503, "no-list", detail, headers={"Retry-After": "5"}) from None
    before: dict[str, Row] = {}
    waited: Waits = _nobody
    if since:
        before, waited = _earlier(published, since, current, contacts, signing_key)
    changes = compare(before, now, waited, lambda user_id: contacts.waits(current, user_id))
    counts = dict.fromkeys(("add", "change", "remove"), 0)
    for change in changes:
        counts[change["change"]] += 1
    return orjson.dumps(
        {
            "since": since,
            "published_version": current.version,
            "as_of_date": current.as_of_date,
            "counts": counts,
            "changes": [prediction.shown(change) for change in changes],
        }
    )


def compare(
    before: Mapping[str, Row], now: Mapping[str, Row], waited: Waits, waits: Waits
) -> list[Row]:
    """Return the changes between two lists by user_id, each row with its `change`.

    `waited` says whom contacts ever kept off the list of then, `waits` whom they keep off the list
    of now. Who waited is added again: whoever asked at that time was not told of the user.
    """
    added, changed, removed = [], [], []
    for user_id, row in now.items():
        if waits(user_id):
            continue
        earlier = before.get(user_id)
        if earlier is None or waited(user_id):
            added.append({"change": "add"} | row)
        elif any(row[n] != earlier.get(n) for n in row.keys() - OF_THE_RUN):
            changed.append({"change": "change"} | row)
    for user_id, row in before.items():
        if user_id not in now or waits(user_id):
            removed.append({"change": "remove"} | row)
    return [*added, *changed, *removed]


def _nobody(_: str) -> bool:
    return False


def _earlier(
    published: Path,
    since: str,
    current: Publication,
    contacts: Contacts,
    signing_key: str | None,
) -> tuple[dict[str, Row], Waits]:
    """Return the list of an earlier version, and who was ever kept off it by contacts."""
    try:
        manifest = manifest_of(published / since)
        if manifest["version"] != since or not is_accepted(manifest, "publication", signing_key):
            raise _gone()
        if names_forgotten(current.manifest, manifest):
            raise _gone()
        rows = _list(published / since, manifest)
        rules, day = manifest.get("list", {}), date.fromisoformat(manifest["as_of_date"])
        zone = ZoneInfo(manifest.get("timezone", "UTC"))
    except (OSError, ValueError, LookupError, sqlite3.Error):
        raise _gone() from None
    pause = rules.get("contact_pause_days", 0)
    return rows, lambda user_id: ever_waited(contacts.ever_of(user_id), day, pause, zone)


def names_forgotten(current: dict[str, Any], earlier: dict[str, Any]) -> bool:
    """Return whether an earlier version may name a person who was forgotten since."""
    forgotten_at = current.get("forgotten_at")
    return forgotten_at is not None and _time(earlier["published_at"]) <= _time(forgotten_at)


def ever_waited(found: list[Row], as_of_date: date, pause_days: int, zone: ZoneInfo) -> bool:
    """Return whether a user with these contacts, the newest last, was ever kept off a list.

    A later snooze may end an earlier one, and a contact may be taken back, so each contact may have
    been the newest. `found` has those that were taken back too.
    """
    ends = range(1, len(found) + 1)
    return any(of_people.waits(found[:end], as_of_date, pause_days, zone) for end in ends)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _gone() -> Problem:
    detail = (
        "This version is not kept any more, or cannot be compared. Ask without `since`: the answer"
        " is the whole list, which replaces yours."
    )
    return Problem(410, "version-gone", detail)


def _list(folder: Path, manifest: dict[str, Any]) -> dict[str, Row]:
    """Return the list of a version by user_id, in its order.

    Raises sqlite3.Error without one, OSError if the store is not the one that was published.
    """
    path = (folder / "lookup.sqlite").resolve()
    found = checks.sha256_as_of(path, checks.stamp(path))
    if found != manifest["files"]["lookup.sqlite"]["sha256"]:
        raise OSError(f"{path} is not the file that was published")
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as store:
        store.row_factory = sqlite3.Row
        (users,) = store.execute("select count(*) from churn_top_risk").fetchone()
        if users > LONGEST:
            detail = (
                f"The list has {users:,} users, and at most {LONGEST:,} are compared here. Take"
                " activation/list_changes from the published folder."
            )
            raise Problem(422, "list-too-long", detail)
        rows = store.execute("select * from churn_top_risk order by list_rank")
        return {
            row["user_id"]: dict(row) | {"is_explored": row["is_explored"] == 1} for row in rows
        }
