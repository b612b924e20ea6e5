"""Records contacts from the desk's forms, with and without JavaScript."""

import re
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api.desk.render import page
from api.http.body import KIB, read
from api.http.errors import Problem
from api.routes import contacts

router = APIRouter(include_in_schema=False)
MOST_USERS = 200
FORM_KEY = re.compile(r"[0-9a-f]{32}")


@router.post("/desk/contacts")
async def record(request: Request) -> Response:
    """Keep a contact or a snooze of the users of a form, then show the page it came from.

    The button says what to record and of whom: `contacted` or `snoozed` with a user's id, or with
    nothing for all selected ones; `undo` with the key of a form takes back what that recorded, and
    `withdrawn` with a contact's key that one. A form that is sent twice changes nothing more.
    """
    fields = parse_qs(await read(request, 256 * KIB), keep_blank_values=True)
    first = {name: values[0].strip().replace("\r\n", "\n") for name, values in fields.items()}
    if not FORM_KEY.fullmatch(first.get("form", "")):
        return _refused(request, 422, "The form is incomplete. Load the page again.")
    if "undo" in first or "withdrawn" in first:
        action, mark = "withdrawn", ""
        try:
            to_keep = await _withdrawals(request, first)
        except TimeoutError:
            return _refused(request, 503, contacts.NO_ANSWER)
        if not to_keep:
            return _refused(request, 404, "What is to be taken back was not recorded here.")
    else:
        action = "snoozed" if "snoozed" in first else "contacted"
        mark = f"&undo={first['form']}"
        one = fields.get(action, [""])[0]
        chosen = [one] if one else list(dict.fromkeys(fields.get("user", [])))
        if not 0 < len(chosen) <= MOST_USERS:
            return _refused(request, 422, f"Select 1 to {MOST_USERS} users first.")
        of_form = _of_form(request, first["form"])
        to_keep = [(_contact(first, action, one), f"{of_form}{action}/{one}") for one in chosen]
    for done, (content, key) in enumerate(to_keep):
        try:
            await contacts.keep(request, content, key)
        except Problem as problem:
            return _refused(request, problem.status, problem.detail, problem.members, done)
    following = inside(request.query_params.get("next"))
    following += "&" if "?" in following else "?"
    return RedirectResponse(f"{following}done={action}-{len(to_keep)}{mark}", 303)


def _of_form(request: Request, form: str) -> str:
    """Return how the keys begin of the contacts that a form of this person recorded."""
    return f"{request.scope.get('key') or ''}/desk/{form}/"


async def _withdrawals(request: Request, first: dict[str, str]) -> list[tuple[dict[str, Any], str]]:
    """Return what POST /v1/contacts would be given to take back the contacts of a form or a key.

    Raises TimeoutError if the folder of contacts does not answer.
    """
    kept = contacts.contacts_of(request)
    if FORM_KEY.fullmatch(first.get("undo", "")):
        found = await kept.beginning_with(_of_form(request, first["undo"]))
    else:
        one = await kept.find(first.get("withdrawn", ""))
        found = [one] if one else []
    return [
        ({"user_id": o["user_id"], "action": "withdrawn", "withdraws": o["contact_key"]}, "")
        for o in found
    ]


def _contact(first: dict[str, str], action: str, user_id: str) -> dict[str, Any]:
    """Return what POST /v1/contacts would be given; a field that was left empty is not given."""
    given = {name: first[name] for name in contacts.LONGEST if first.get(name)}
    if action == "snoozed":
        given["snoozed_until"] = first.get("snoozed_until", "")
    return given | {"user_id": user_id, "action": action}


def _refused(
    request: Request,
    status: int,
    what: str,
    members: dict[str, object] | None = None,
    done: int = 0,
) -> Response:
    errors = (members or {}).get("errors", [])
    return page(request, "refused.html", status, what=what, errors=errors, recorded=done)


def inside(path: str | None) -> str:
    """Return the path of the desk to go to next, never another site's."""
    path = path or ""
    is_desk = path == "/desk" or path.startswith(("/desk/", "/desk?"))
    safe = is_desk and "\\" not in path and "#" not in path
    return path if safe and path.isascii() and path.isprintable() else "/desk"
