"""Whom to contact: the nightly list, or one chosen anew from the published version."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name
from python_jobs.publication import prediction
from python_jobs.publication.contacts import by_user, owner_of, standing, waits

ORDERS = {
    "gain": "expected_gain desc, risk_rank",
    "loss": "expected_loss desc, risk_rank",
    "risk": "risk_rank",
}
MEASURED = "select sum(treated_users) from save_rates where measured_rate is not null"
MOST_NAMED = 20
"""Values of an attribute that a message names."""

PLACE = ("is_explored", "list_probability", "list_rank")
"""The last columns of the nightly list. A list of one's own draws nobody by chance."""


@dataclass(frozen=True)
class CallList:
    """The chosen users as dicts of `columns`, in order, and what contacting them costs."""

    users: list[dict[str, Any]]
    cost: float
    measured: int
    """Contacts with an outcome that save rates rest on; without any they are the domain's."""
    columns: list[str]
    is_nightly: bool

    def total(self, column: str) -> float:
        """Return the sum of a column."""
        return float(sum(user[column] for user in self.users))


def choose(
    folder: Path,
    manifest: dict[str, Any],
    *,
    contacts: Iterable[dict[str, Any]] = (),
    order: str | None = None,
    top: int | None = None,
    budget: float | None = None,
    where: dict[str, str] | None = None,
) -> CallList:
    """Choose from the published version in `folder`: never the holdout, nor anybody just contacted.

    `contacts`: what people recorded, also since the publication. Without the options below, or with
    the domain's order alone, it is the nightly list less whoever waits since then.

    `order`: a key of ORDERS, gain by default; by gain, only users whose expected gain is above 0.
    `top` and `budget`: most users, and money for as many as offer_cost allows; without either they
    are the domain's. `where`: attributes and the values that they must have. Raises JobError for a
    version of an earlier release, for an unknown attribute, and for a budget that pays for nobody.
    """
    rules = manifest.get("list")
    if rules is None:
        raise JobError(
            "The published version is of an earlier release, which made no list of gains.",
            next_step="run `churnhouse daily` to publish a new one.",
        )
    recorded = _by_person(folder, contacts)
    waiting = _waiting(recorded, manifest)
    is_nightly = order in (None, rules["order"]) and not (top or budget or where)
    if is_nightly:
        columns, rows = _read(folder, "select * from churn_top_risk order by list_rank")
        users = [dict(zip(columns, row, strict=True)) for row in rows]
        users = [user for user in users if user["user_id"] not in waiting]
    else:
        size = _size(rules, top, budget)
        columns, rows = _own(folder, manifest, order or "gain", size + len(waiting), where or {})
        users = [dict(zip(columns, row, strict=True)) for row in rows]
        users = [user for user in users if user["user_id"] not in waiting][:size]
        users = [user | {"list_rank": rank} for rank, user in enumerate(users, start=1)]
    users = [
        user | {"owner": owner_of(recorded.get(user["user_id"], ())) or user["owner"]}
        for user in users
    ]
    _, ((measured,),) = _read(folder, MEASURED)
    cost = rules["offer_cost"] * len(users)
    return CallList(users, cost, int(measured or 0), columns, is_nightly)


def _size(rules: dict[str, Any], top: int | None, budget: float | None) -> int:
    """Return how many users a list of one's own has at most."""
    offer_cost = rules["offer_cost"]
    if top is None and budget is None:
        budget = rules.get("budget")
    size: int = rules["top_k"] if top is None else top
    if budget is None or offer_cost <= 0:
        return size
    affordable = int(round(budget / offer_cost, 6))
    if not affordable:
        raise JobError(
            f"A budget of {budget:g} pays for nobody: a contact costs {offer_cost:g}.",
            next_step="give more, or correct offer_cost in domain.yml.",
        )
    return affordable if top is None else min(top, affordable)


def _own(
    folder: Path, manifest: dict[str, Any], order: str, limit: int, where: dict[str, str]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns of the nightly list, without a place on it, and the first candidates."""
    for name, value in where.items():
        if name not in manifest["attributes"]:
            raise JobError(
                f"{name!r} is no attribute of this domain.",
                next_step=f"choose of {', '.join(manifest['attributes'])}."
                if manifest["attributes"]
                else "name some in domain.yml (attributes), or leave --where out.",
            )
        _check_value(folder, name, value)
    conditions = ["left_out_because is null", *(f"features.{sql_name(n)} = ?" for n in where)]
    if order == "gain":
        conditions.append("expected_gain > 0")
    columns, _ = _read(folder, "from churn_top_risk limit 0")
    query = f"""
        select {", ".join(map(_of_candidate, columns))}
        from churn_predictions_latest as predictions
        inner join contact_candidates as candidates using (user_id)
        inner join user_features_latest as features using (user_id)
        where {" and ".join(conditions)}
        order by {ORDERS[order]}
        limit {limit}
    """
    return _read(folder, query, list(where.values()))


def _of_candidate(column: str) -> str:
    """Return SQL of a column of the list for a user who has no place on it."""
    if column in PLACE:
        return f"null as {column}"
    return f"{'predictions' if column in prediction.NAMES else 'candidates'}.{column}"


def _check_value(folder: Path, name: str, value: str) -> None:
    """Raise JobError if nobody has this value of an attribute."""
    column = f"cast({sql_name(name)} as varchar)"
    query = f"from user_features_latest select distinct {column} where {column} is not null"
    _, rows = _read(folder, f"{query} order by all")
    known = [known for (known,) in rows]
    if value not in known:
        some = ", ".join(known[:MOST_NAMED]) + (", ..." if len(known) > MOST_NAMED else "")
        raise JobError(f"Nobody has {name}={value}.", next_step=f"choose of {some}.")


def _read(
    folder: Path, query: str, values: Sequence[str] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as published:
        found = published.execute(query, values)
        return [name for name, *_ in found.description or ()], found.fetchall()


def users_waiting(
    folder: Path, manifest: dict[str, Any], contacts: Iterable[dict[str, Any]]
) -> set[str]:
    """Return the users whom these contacts keep off the list of the published version in `folder`.

    `contacts`: what people recorded, also since the publication.
    """
    return _waiting(_by_person(folder, contacts), manifest)


def _waiting(recorded: dict[str, list[dict[str, Any]]], manifest: dict[str, Any]) -> set[str]:
    as_of_date = date.fromisoformat(manifest["as_of_date"])
    pause = manifest.get("list", {}).get("contact_pause_days", 0)
    zone = ZoneInfo(manifest.get("timezone", "UTC"))
    return {user for user, found in recorded.items() if waits(found, as_of_date, pause, zone)}


def _by_person(folder: Path, contacts: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the contacts that stand, under the ids that persons have in the published version."""
    recorded = standing(contacts)
    with closing(sqlite3.connect(f"file:{folder / 'lookup.sqlite'}?mode=ro", uri=True)) as store:
        if not store.execute("select 1 from sqlite_schema where name = 'identities'").fetchone():
            return by_user(recorded)
        query = "select user_id from identities where from_id = ?"
        found = {user: store.execute(query, (user,)).fetchone() for user in by_user(recorded)}
    return by_user(
        one | {"user_id": person[0]} if (person := found[one["user_id"]]) else one
        for one in recorded
    )


def nightly(folder: Path) -> list[str]:
    """Return the users of churn_top_risk in a published version's folder, the first to call first.

    Raises JobError if nothing is published there.
    """
    path = folder / "churnhouse.duckdb"
    if not path.exists():
        raise JobError("There is no published list.", next_step="run `churnhouse run` first.")
    with duckdb.connect(str(path), read_only=True) as published:
        rows = published.execute("select user_id from churn_top_risk order by list_rank").fetchall()
    return [user_id for (user_id,) in rows]
