"""What is known of contacts: those of the published version, and those recorded here since."""

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

from api.store.contacts import Contacts
from api.store.publication import WEEK_DAYS, Publication


def history(published: list[dict[str, Any]], here: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge the contacts of one user, the newest first; one that both lists have counts once."""
    found = {(datetime.fromisoformat(one["treated_at"]), one["action"]): one for one in published}
    found |= {(datetime.fromisoformat(one["treated_at"]), one["action"]): one for one in here}
    return [found[key] for key in sorted(found, reverse=True)]


def state(
    publication: Publication, contacts: Contacts, user_id: str, known: dict[str, Any]
) -> dict[str, Any]:
    """Return the last contact of a user, until when a snooze lasts, and who works on the user.

    `known`: the user's action columns.
    """
    found = history(known.get("contact_history", []), contacts.of(user_id))
    called = next((one for one in found if one["action"] == "contacted"), None)
    snoozed = next((one for one in found if one["action"] == "snoozed"), None)
    owner = next((one["owner"] for one in found if one["owner"]), None)
    until = snoozed["snoozed_until"] if snoozed else known.get("snoozed_until")
    is_over = until is None or until <= publication.as_of_date
    return {
        "last": called,
        "last_on": called["treated_at"][:10] if called else known.get("last_contact_on"),
        "until": None if is_over else until,
        "owner": owner,
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
    for user_id, found in contacts.people().items():
        calls = [one for one in found if one["action"] == "contacted"]
        if not calls or calls[-1]["treated_at"][:10] <= since.isoformat():
            continue
        known = publication.actions(user_id)
        if not known:
            continue
        stored = [one for one in known["contact_history"] if one["action"] == "contacted"]
        if stored and stored[-1]["treated_at"][:10] > since.isoformat():
            if _when(stored[-1]) >= _when(calls[-1]):
                continue
            counted[stored[-1]["outcome"], _followed(publication, known, stored[-1])] -= 1
        counted[calls[-1]["outcome"], _followed(publication, known, calls[-1])] += 1
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
    as_of_date = date.fromisoformat(publication.as_of_date)
    days = (as_of_date - date.fromisoformat(contact["treated_at"][:10])).days
    if days <= 0:
        return "open"
    return "active" if known["days_since_last_activity"] < days else "silent"


def _when(contact: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(contact["treated_at"])
