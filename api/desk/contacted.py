"""What is known of contacts: those of the published version, and those recorded here since."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from api.store.contacts import Contacts
from api.store.publication import WEEK_DAYS, Publication
from python_jobs.publication.contacts import day_of, owner_of, waits

UNNAMED = "unnamed"
"""The campaign of contacts without one, in a version."""

TOLD = ("campaign", "channel", "outcome", "note", "by", "owner", "snoozed_until")
"""What a version has of a contact besides its time and action."""


def history(
    published: list[dict[str, Any]],
    here: list[dict[str, Any]],
    taken_back: Iterable[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Merge the contacts of one user, the newest first; one that both lists have counts once.

    `taken_back`: those that count no more, though a version may still have them.
    """
    recorded = [*here, *taken_back]
    earlier = [one for one in published if not any(_is_same(one, other) for other in recorded)]
    return sorted([*earlier, *here], key=_name)[::-1]


def all_of(contacts: Contacts, user_id: str, known: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the contacts of a user that count, the newest first. `known`: the action columns."""
    published = known.get("contact_history") or []
    return history(published, contacts.of(user_id), contacts.taken_back(user_id))


def shown(
    publication: Publication, contacts: Contacts, user_id: str, known: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the contacts of a user as a page shows them, each with its `day`."""
    found = all_of(contacts, user_id, known)
    return [one | {"day": day_of(one, publication.zone).isoformat()} for one in found]


def freed(publication: Publication, contacts: Contacts) -> list[str]:
    """Return who waits by the version, but no more since a contact was taken back."""
    pause = publication.manifest.get("list", {}).get("contact_pause_days", 0)
    as_of_date, found = date.fromisoformat(publication.as_of_date), []
    for user_id in contacts.people():
        if contacts.taken_back(user_id):
            left = all_of(contacts, user_id, publication.actions(user_id))[::-1]
            if not waits(left, as_of_date, pause, publication.zone):
                found.append(user_id)
    return found


def state(
    publication: Publication, contacts: Contacts, user_id: str, known: dict[str, Any]
) -> dict[str, Any]:
    """Return the last contact of a user, until when a snooze lasts, and who works on the user.

    `known`: the user's action columns.
    """
    found = all_of(contacts, user_id, known)
    if contacts.taken_back(user_id):  # the version's own columns may be of such a contact
        known = {}
    called = _newest_call(found)
    snoozed = next((one for one in found if one["action"] == "snoozed"), None)
    until = snoozed["snoozed_until"] if snoozed else known.get("snoozed_until")
    is_over = until is None or until <= publication.as_of_date
    return {
        "last": called,
        "last_on": day_of(called, publication.zone).isoformat()
        if called
        else known.get("last_contact_on"),
        "until": None if is_over else until,
        "owner": owner_of(found[::-1]) or known.get("owner"),
    }


def last_week(publication: Publication, contacts: Contacts) -> dict[str, Any]:
    """Count who was contacted in the last seven days, what followed, and with which outcome.

    The last seven days are those up to as_of_date, and what was recorded here after it.
    `active`: active on a later day; `silent`: not; `open`: no later day is known yet.
    """
    counted: Counter[tuple[str | None, str]] = Counter()
    for outcome, followed, users in publication.contacted:
        counted[outcome, followed] += users
    since = date.fromisoformat(publication.as_of_date) - timedelta(days=WEEK_DAYS)
    for user_id, ever in contacts.people().items():
        if not any(day_of(one, publication.zone) > since for one in ever[-1:]):
            continue
        known = publication.actions(user_id)
        if not known:
            continue
        stored = _newest_call(history(known["contact_history"], []))
        newest = _newest_call(all_of(contacts, user_id, known))
        if stored and newest and _name(stored) == _name(newest):
            continue
        for call, users in ((stored, -1), (newest, 1)):
            if call and day_of(call, publication.zone) > since:
                counted[call["outcome"], _followed(publication, known, call)] += users
    outcomes: Counter[str] = Counter()
    followed_by: Counter[str] = Counter()
    for (outcome, followed), users in counted.items():
        followed_by[followed] += users
        if outcome:
            outcomes[outcome] += users
    return {
        "since": (since + timedelta(days=1)).isoformat(),
        "users": sum(followed_by.values()),
        **{name: followed_by[name] for name in ("active", "silent", "open")},
        "outcomes": [(outcome, users) for outcome, users in outcomes.most_common() if users],
    }


def _followed(publication: Publication, known: dict[str, Any], contact: dict[str, Any]) -> str:
    """Say what followed a contact, as publication.contacted does for those of the version."""
    day = day_of(contact, publication.zone).isoformat()
    if day >= publication.as_of_date:
        return "open"
    return "active" if (known["last_active_on"] or "") > day else "silent"


def _newest_call(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first contact of a list that is no snooze."""
    return next((one for one in found if one["action"] == "contacted"), None)


def _name(contact: dict[str, Any]) -> tuple[datetime, str]:
    """Return what orders the contacts of a user, and mostly tells them apart."""
    return datetime.fromisoformat(contact["treated_at"]), contact["action"]


def _is_same(published: dict[str, Any], here: dict[str, Any]) -> bool:
    """Return whether a contact of a version is one that was recorded here: versions have no keys.

    Versions of earlier releases lack some of the fields.
    """
    told = here | {"campaign": here.get("campaign") or UNNAMED}
    return _name(published) == _name(here) and all(
        published[name] == told.get(name) for name in TOLD if name in published
    )
