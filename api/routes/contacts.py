"""Endpoints for contacts: record one, and read those of a user."""

import hashlib
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.answers import answer
from api.http.body import KIB, read_object
from api.http.errors import Problem, error, invalid, unknown_user
from api.routes.openapi import CONTACT, CONTACT_BODY, CONTACT_LIST, KEY_HEADER, USER_ID, described
from api.store.contacts import Contacts
from api.store.loader import loader_of
from api.store.publication import Publication
from python_jobs.publication.contacts import (
    ACTIONS,
    FIELDS,
    FIRST_YEAR,
    WITHDRAWN,
    is_of_withdrawal,
    withdrawal_key,
)
from python_jobs.publication.ids import is_id

router = APIRouter(tags=["contacts"])
LONGEST = {"campaign": 100, "channel": 40, "outcome": 40, "note": 2000, "owner": 100}
"""The text fields of a contact, and the most characters of each."""
CLOCK_SKEW = timedelta(minutes=1)
LONGEST_SNOOZE = 366
"""Days."""
NO_ANSWER = "The contact could not be looked up: the server's folder of contacts does not answer."


@router.post(
    "/v1/contacts",
    operation_id="record_contact",
    summary="Record a contact",
    status_code=201,
    **described(
        CONTACT, 400, 404, 409, 413, 415, 422, body=CONTACT_BODY, parameters=[KEY_HEADER], done=201
    ),
)
async def record(request: Request) -> Response:
    """Keep that somebody contacted a user, snoozed the user, or took the user on.

    It is on the disk before the answer leaves; the next `churnhouse daily` loads it. With an
    Idempotency-Key a repeated request changes nothing and gets the first contact, with 200.
    The action `withdrawn` takes back the contact whose contact_key stands in `withdraws`, once:
    a repeated request gets the first withdrawal, with 200.
    """
    given = await read_object(request, 16 * KIB)
    contact, is_new = await keep(request, given, _key(request))
    return answer(_shown(contact), 201 if is_new else 200)


async def keep(request: Request, given: dict[str, Any], key: str) -> tuple[dict[str, Any], bool]:
    """Keep a contact under a key; return it, or the earlier one of that key, and whether it is new.

    Raises Problem if it is no contact, its user unknown, its key another contact's, or the disk
    does not take it.
    """
    publication, kept = loader_of(request).require(), contacts_of(request)
    if given.get("action") == WITHDRAWN:
        contact = await _withdrawal(given, publication, kept, datetime.now(UTC))
        contact |= {"by": request.scope.get("key")}
        earlier = await _add(kept, contact)
        if earlier and earlier["withdraws"] != contact["withdraws"]:
            raise Problem(409, "key-taken", "Another contact has the key of this withdrawal.")
        return (earlier, False) if earlier else (contact, True)
    try:
        asked = hashlib.sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).hexdigest()
    except TypeError:
        raise invalid("This is nested too deeply.", []) from None
    if earlier := kept.with_key(key):
        return _again(earlier, asked), False
    contact = _contact(given, publication, datetime.now(UTC))
    row = publication.prediction(contact["user_id"])
    if row is None:
        raise unknown_user()
    contact["user_id"] = row["user_id"]  # the person's own id, if another one was given
    contact |= {"by": request.scope.get("key"), "contact_key": key, "asked": asked}
    earlier = await _add(kept, contact)
    return (_again(earlier, asked), False) if earlier else (contact, True)


async def _add(kept: Contacts, contact: dict[str, Any]) -> dict[str, Any] | None:
    """Keep a contact; return None, or the earlier one of its key. Raises Problem if it cannot."""
    try:
        return await kept.add(contact)
    except (OSError, ValueError):
        detail = "The contact could not be kept: the server's folder of contacts takes no file."
        raise Problem(503, "not-kept", detail) from None


async def _withdrawal(
    given: dict[str, Any], publication: Publication, kept: Contacts, now: datetime
) -> dict[str, Any]:
    """Return what takes a contact back, as it is kept.

    Raises Problem: 404 if there is no such contact, 422 that names each field that is wrong, 503 if
    the folder of contacts does not answer.
    """
    wrong = dict.fromkeys(
        given.keys() - {"user_id", "action", "withdraws", "note"}, "unknown field"
    )
    user_id, key, note = given.get("user_id"), given.get("withdraws"), given.get("note")
    if not isinstance(user_id, str) or not is_id(user_id):
        wrong["user_id"] = "the id of the contact's user"
    if not isinstance(key, str) or not key:
        wrong["withdraws"] = "the contact_key of the contact to take back"
    if note is not None and not _is_text(note, LONGEST["note"]):
        wrong["note"] = _wanted("note")
    try:
        contact = None if wrong else await kept.find(str(key))
    except TimeoutError:
        raise Problem(503, "not-kept", NO_ANSWER) from None
    if contact and publication.person_of(contact["user_id"]) != publication.person_of(str(user_id)):
        wrong["user_id"] = "the id of the contact's user"
    if contact and contact["action"] == WITHDRAWN:
        wrong["withdraws"] = "this took a contact back already; record that contact again"
    if wrong:
        raise _wrong(wrong)
    if contact is None:
        detail = "No contact with this contact_key was recorded here."
        raise Problem(404, "unknown-contact", detail)
    return dict.fromkeys(FIELDS) | {
        "contact_key": withdrawal_key(contact["contact_key"]),
        "user_id": contact["user_id"],
        "treated_at": _text(now),
        "action": WITHDRAWN,
        "note": note,
        "withdraws": contact["contact_key"],
    }


def _again(earlier: dict[str, Any], asked: str) -> dict[str, Any]:
    """Return the contact that has a key already; 409 if another one asks for it."""
    if earlier.get("asked") != asked:
        detail = "This Idempotency-Key belongs to another contact."
        raise Problem(409, "key-taken", detail)
    return earlier


def _shown(contact: dict[str, Any]) -> dict[str, Any]:
    return {name: contact[name] for name in FIELDS} | {"treated_at": f"{contact['treated_at']}Z"}


@router.get(
    "/v1/contacts/{user_id:path}",
    operation_id="list_contacts",
    summary="The contacts of one user",
    **described(CONTACT_LIST, 404, parameters=[USER_ID]),
)
async def of_user(request: Request) -> Response:
    """Return what was recorded here for a user and not taken back, the newest last."""
    publication = loader_of(request).require()
    user_id = request.path_params["user_id"]
    row = publication.prediction(user_id) if is_id(user_id) else None
    if row is None:
        raise unknown_user()
    found = contacts_of(request).of(row["user_id"])
    return answer({"user_id": row["user_id"], "contacts": [_shown(contact) for contact in found]})


def contacts_of(request: Request) -> Contacts:
    """Return the contacts of the app that answers this request."""
    contacts: Contacts = request.app.state.contacts
    return contacts


def _key(request: Request) -> str:
    """Return the contact's key: the request's, which belongs to who sends it, or a new one."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return uuid.uuid4().hex
    if not 0 < len(key) <= 200 or not key.isprintable() or is_of_withdrawal(key):
        message = "1 to 200 printable characters, not of a withdrawal"
        raise invalid("This is no key.", [error("header", "Idempotency-Key", message)])
    return f"{request.scope.get('key') or ''}/{key}"


def _contact(given: dict[str, Any], publication: Publication, now: datetime) -> dict[str, Any]:
    """Return a contact as it is kept; 422 names each field that is wrong."""
    rules, today = publication.manifest.get("list", {}), now.astimezone(publication.zone).date()
    wrong: dict[str, str] = {}
    known = {"user_id", "action", "treated_at", "snoozed_until", *LONGEST}
    wrong |= dict.fromkeys(given.keys() - known, "unknown field")
    wrong |= {"withdraws": "only with action withdrawn"} if "withdraws" in given else {}
    contact: dict[str, Any] = {"user_id": given.get("user_id"), "treated_at": None}
    if not isinstance(contact["user_id"], str) or not is_id(contact["user_id"]):
        wrong["user_id"] = "the id of a published user"
    contact["action"] = given.get("action", "contacted")
    if contact["action"] not in ACTIONS:
        wrong["action"] = f"one of {', '.join(ACTIONS)}"
    for name, longest in LONGEST.items():
        contact[name] = text = given.get(name)
        if text is not None and not _is_text(text, longest):
            wrong[name] = _wanted(name)
    for name in ("campaign", "owner"):
        allowed = rules.get(f"{name}s") or []
        if contact[name] is not None and allowed and contact[name] not in allowed:
            wrong[name] = f"one of {', '.join(allowed)}"
    try:
        at = datetime.fromisoformat(given["treated_at"]) if "treated_at" in given else now
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        contact["treated_at"] = _text(at)
        if at > now + CLOCK_SKEW:
            wrong["treated_at"] = "it lies in the future"
        if at.year <= FIRST_YEAR:
            wrong["treated_at"] = f"it lies before {FIRST_YEAR + 1}"
    except (TypeError, ValueError, OverflowError):
        wrong["treated_at"] = "a time such as 2025-04-30T16:05:00+02:00"
    until = _day(given.get("snoozed_until"))
    contact["snoozed_until"] = until and until.isoformat()
    if contact["action"] != "snoozed":
        wrong |= {"snoozed_until": "only with action snoozed"} if "snoozed_until" in given else {}
    elif until is None or not 0 < (until - today).days <= LONGEST_SNOOZE:
        wrong["snoozed_until"] = f"a day such as 2025-06-01, at most {LONGEST_SNOOZE} days ahead"
    if contact["action"] == "assigned" and contact["owner"] is None:
        wrong["owner"] = "who works on the user"
    if wrong:
        raise _wrong(wrong)
    return contact | {"withdraws": None}


def _wrong(problems: dict[str, str]) -> Problem:
    errors = [error("body", name, problem) for name, problem in sorted(problems.items())]
    return invalid("This is no contact.", errors)


def _wanted(name: str) -> str:
    return f"a text of 1 to {LONGEST[name]:,} characters without control characters"


def _text(moment: datetime) -> str:
    """Return a time as it is kept: UTC, without an offset."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _is_text(value: object, longest: int) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        return False
    return all(character.isprintable() or character == "\n" for character in value)


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
