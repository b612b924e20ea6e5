"""A list of whom to contact, chosen anew from the published version."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name
from python_jobs.publication.contacts import by_user, standing, waits

ORDERS = {
    "gain": "expected_gain desc, risk_rank",
    "loss": "expected_loss desc, risk_rank",
    "risk": "risk_rank",
}
COLUMNS = (
    *("user_id", "churn_risk", "user_value", "expected_loss", "save_rate"),
    *("expected_gain", "expected_gain_low", "expected_gain_high", "last_contact_on"),
    *("is_explored", "list_probability"),
    *("reason_1", "reason_2", "reason_3", "action"),
)


@dataclass(frozen=True)
class CallList:
    """The chosen users as dicts of COLUMNS, in order, and what contacting them costs."""

    users: list[dict[str, Any]]
    cost: float
    measured: int
    """Contacts with an outcome that save rates rest on; without any they are the domain's."""

    def total(self, column: str) -> float:
        """Return the sum of a column."""
        return float(sum(user[column] for user in self.users))


def choose(
    folder: Path,
    manifest: dict[str, Any],
    *,
    contacts: Iterable[dict[str, Any]] = (),
    order: str = "gain",
    top: int | None = None,
    budget: float | None = None,
    where: dict[str, str] | None = None,
) -> CallList:
    """Choose from the published version in `folder`: never the holdout, nor anybody just contacted.

    `contacts`: what people recorded, also since the publication. `order`: a key of ORDERS; by gain,
    only users whose expected gain is above 0. `top` and `budget`: most users, and money for as many
    as offer_cost allows; without either they are the domain's. `where`: attributes and the values
    that they must have. In the domain's order and without these three it is the nightly list,
    random places included; whoever waits since then is replaced by the next in order. Raises
    JobError for a version of an earlier release, for an unknown attribute, and for a budget that
    pays for nobody.
    """
    rules = manifest.get("list")
    if rules is None:
        raise JobError(
            "The published version is of an earlier release, which made no list of gains.",
            next_step="run `churnhouse daily` to publish a new one.",
        )
    is_nightly = order == rules["order"] and not (top or budget or where)
    offer_cost = rules["offer_cost"]
    if top is None and budget is None:
        budget = rules.get("budget")
    size = rules["top_k"] if top is None else top
    if budget is not None and offer_cost > 0:
        affordable = int(round(budget / offer_cost, 6))
        if not affordable:
            raise JobError(
                f"A budget of {budget:g} pays for nobody: a contact costs {offer_cost:g}.",
                next_step="give more, or correct offer_cost in domain.yml.",
            )
        size = affordable if top is None else min(top, affordable)
    for name in where or {}:
        if name not in manifest["attributes"]:
            raise JobError(
                f"{name!r} is no attribute of this domain.",
                next_step=f"choose of {', '.join(manifest['attributes']) or 'none: it has none'}.",
            )
    as_of_date, pause = date.fromisoformat(manifest["as_of_date"]), rules["contact_pause_days"]
    zone = ZoneInfo(manifest.get("timezone", "UTC"))
    recorded = by_user(_of_persons(folder, standing(contacts))).items()
    waiting = {user for user, found in recorded if waits(found, as_of_date, pause, zone)}
    conditions = ["left_out_because is null", *(f"{sql_name(n)} = ?" for n in where or {})]
    if order == "gain":
        conditions.append("(expected_gain > 0 or nightly.is_explored)")
    query = f"""
        with nightly as (
            select user_id, list_rank, is_explored, list_probability
            from churn_top_risk
            where {is_nightly}
        )
        select {", ".join(COLUMNS)}
        from churn_predictions_latest
        inner join contact_candidates using (user_id)
        left join nightly using (user_id)
        inner join user_features_latest as features using (user_id)
        where {" and ".join(conditions)}
        order by nightly.list_rank nulls last, {ORDERS[order]}
        limit {size + len(waiting)}
    """
    with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as published:
        rows = published.execute(query, list((where or {}).values())).fetchall()
        ((measured,),) = published.execute("select sum(treated_users) from save_rates").fetchall()
    users = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    users = [user for user in users if user["user_id"] not in waiting][:size]
    return CallList(users, offer_cost * len(users), int(measured or 0))


def _of_persons(folder: Path, recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return contacts under the ids that their persons have in the published version."""
    with closing(sqlite3.connect(f"file:{folder / 'lookup.sqlite'}?mode=ro", uri=True)) as store:
        if not store.execute("select 1 from sqlite_schema where name = 'identities'").fetchone():
            return recorded
        query = "select user_id from identities where from_id = ?"
        found = {user: store.execute(query, (user,)).fetchone() for user in by_user(recorded)}
    return [
        one | {"user_id": person[0]} if (person := found[one["user_id"]]) else one
        for one in recorded
    ]


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
