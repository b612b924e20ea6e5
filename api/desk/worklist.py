"""The tabs of the list: who stands in each, in which order, and how many."""

import json
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from api.desk import contacted
from api.store import listing
from api.store.contacts import Contacts
from api.store.listing import Filter
from api.store.publication import Publication
from python_jobs.publication.contacts import day_of
from python_jobs.publication.lookup_store import MOVE

TABS = {
    "new": "Newly at risk",
    "call": "Worth a call",
    "waiting": "Still waiting",
    "back": "Came back",
    "all": "Everybody",
}
MOVED = {"new": "newly_at_risk", "back": "came_back"}
"""Tabs that a user's move alone decides."""

ORDERS = {
    "list": "As listed",
    "risk": "Highest risk",
    "lowest_risk": "Lowest risk",
    "loss": "Largest expected loss",
    "gain": "Largest expected gain",
    "silent": "Longest silent",
    "recent": "Active most recently",
    "newest": "Newest",
    "user_id": "User id",
}
SINCE = "coalesce(churn_move in ('came_back', 'lost') and moved_since > {day}, false)"
"""SQL: whether a user came back or was lost after a day."""

ENDED = (
    "({day} < as_of_date and (not is_eligible or (risk_band = 'low'"
    " and coalesce({active} > {day}, false))))"
)
"""SQL: whether a user is gone, or calm and active since a day: churn_moves tells one week only."""


@dataclass(frozen=True)
class Found:
    """Ranks of users in their order, and how many there are in all."""

    ranks: list[int]
    total: int


def tabs(publication: Publication) -> dict[str, str]:
    """Return the tabs that a version can fill; one of an earlier release has not all."""
    shown = {"call", "waiting", "all"} | (set(MOVED) if _knows(publication, MOVE) else set())
    return {tab: name for tab, name in TABS.items() if tab in shown}


def orders(publication: Publication, tab: str) -> dict[str, str]:
    """Return the orders of a tab, its own first."""
    known = {"list", "risk", "lowest_risk", "silent", "recent", "newest", "user_id"}
    known |= {"loss"} if "expected_loss" in publication.prediction_columns else set()
    known |= {"gain"} if "expected_gain" in publication.action_columns else set()
    known -= set() if tab == "call" and publication.has_call_list else {"list"}
    return {name: text for name, text in ORDERS.items() if name in known}


async def find(
    publication: Publication, contacts: Contacts, tab: str, chosen: Filter, order: str, limit: int
) -> Found:
    """Return the first `limit` users of a tab who pass a filter."""
    if tab in MOVED:
        chosen = replace(chosen, equal=chosen.equal | {"churn_move": MOVED[tab]})
    elif tab == "waiting":
        chosen = _waiting(publication, contacts, chosen)
    elif tab == "call":
        chosen = _to_call(publication, contacts, chosen)
        if order == "list":
            return _listed(publication, chosen, limit)
    return Found(*await listing.top(publication, chosen, order, limit))


async def counts(publication: Publication, contacts: Contacts) -> dict[str, int]:
    """Return how many users stand in each tab that the version can fill, without those gone."""
    found = {}
    for tab in ("call", "waiting"):
        order = next(iter(orders(publication, tab)))
        found[tab] = (await find(publication, contacts, tab, Filter(), order, 0)).total
    found |= {tab: publication.moves.get(move, 0) for tab, move in MOVED.items()}
    found["all"] = int(sum(band["eligible_users"] for band in publication.bands.values()))
    return {tab: found[tab] for tab in tabs(publication)}


def pause_begins(publication: Publication) -> date:
    """Return the last day whose contacts keep nobody off the list any more."""
    pause = publication.manifest.get("list", {}).get("contact_pause_days", 0)
    return date.fromisoformat(publication.as_of_date) - timedelta(days=pause)


def _to_call(publication: Publication, contacts: Contacts, chosen: Filter) -> Filter:
    """Narrow a filter to the domain's list, without users whom somebody contacted since.

    Versions of earlier releases have no list: there it is everybody who may be contacted.
    """
    busy = contacts.waiting(publication)
    condition = "user_id not in (select value from json_each(?))"
    if publication.has_call_list:
        condition += " and risk_rank in (select risk_rank from churn_top_risk)"
        return replace(chosen, condition=condition, values=(json.dumps(busy),))
    equal = listing.to_contact(publication).equal | chosen.equal
    return replace(chosen, equal=equal, condition=condition, values=(json.dumps(busy),))


def _listed(publication: Publication, chosen: Filter, limit: int) -> Found:
    where, values = chosen.where()
    sql = (
        "select risk_rank from (select risk_rank, list_rank as place from churn_top_risk)"
        f" join users using (risk_rank) where true{where} order by place"
    )
    ranks = [row[0] for row in publication.store.execute(sql, values)]
    return Found(ranks[:limit], len(ranks))


def _waiting(publication: Publication, contacts: Contacts, chosen: Filter) -> Filter:
    """Narrow a filter to users contacted in the pause or snoozed, who neither came back nor left.

    What was recorded since the publication counts too.
    """
    here = [
        user
        for user in contacts.waiting(publication)
        if not _moved(publication, user, contacts.of(user)[-1])
    ]
    condition = "user_id in (select value from json_each(?))"
    values: tuple[object, ...] = (json.dumps(here),)
    if _knows(publication, ("last_contact_on", "snoozed_until", *MOVE)):
        tomorrow = date.fromisoformat(publication.as_of_date) + timedelta(days=1)
        condition += (
            " or (user_id not in (select value from json_each(?)) and ("
            f"(last_contact_on > ? and not {SINCE.format(day='last_contact_on')}"
            f" and not {ENDED.format(day='last_contact_on', active=publication.last_active_on)})"
            " or (snoozed_until > ? and is_eligible"
            " and coalesce(churn_move, '') not in ('came_back', 'lost'))))"
        )
        freed = json.dumps(contacted.freed(publication, contacts))
        values += (freed, pause_begins(publication).isoformat(), tomorrow.isoformat())
    return replace(chosen, condition=condition, values=values)


def _moved(publication: Publication, user_id: str, contact: dict[str, Any]) -> bool:
    """Return whether a user came back or was lost after a contact."""
    day = day_of(contact, publication.zone)
    known, row = publication.actions(user_id), publication.prediction(user_id)
    if row is None:
        return False
    since = known.get("moved_since")
    if since and known.get("churn_move") in ("came_back", "lost") and since > day.isoformat():
        return True
    is_back = row["risk_band"] == "low" and (known["last_active_on"] or "") > day.isoformat()
    return day.isoformat() < publication.as_of_date and (not row["is_eligible"] or is_back)


def _knows(publication: Publication, columns: tuple[str, ...]) -> bool:
    return set(columns) <= set(publication.action_columns)
