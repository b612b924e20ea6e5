"""A list of whom to contact, chosen anew from the published version."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name

ORDERS = {
    "gain": "expected_gain desc, risk_rank",
    "loss": "expected_loss desc, risk_rank",
    "risk": "risk_rank",
}
COLUMNS = (
    *("user_id", "churn_risk", "user_value", "expected_loss", "save_rate"),
    *("expected_gain", "expected_gain_low", "expected_gain_high", "last_contact_on"),
    *("reason_1", "reason_2", "reason_3"),
)


@dataclass(frozen=True)
class CallList:
    """The chosen users as dicts of COLUMNS, in order, and what contacting them costs."""

    users: list[dict[str, Any]]
    cost: float

    def total(self, column: str) -> float:
        """Return the sum of a column."""
        return float(sum(user[column] for user in self.users))


def choose(
    folder: Path,
    manifest: dict[str, Any],
    *,
    order: str = "gain",
    top: int | None = None,
    budget: float | None = None,
    where: dict[str, str] | None = None,
) -> CallList:
    """Choose from the published version in `folder`: never the holdout, nor anybody just contacted.

    `order`: a key of ORDERS; by gain, only users whose expected gain is above 0. `top`: most users,
    by default the domain's top_k. `budget`: money; as many users as offer_cost allows. `where`:
    attributes and the values that they must have. Raises JobError for an unknown attribute, and
    for a budget that pays for nobody.
    """
    offer_cost = manifest["list"]["offer_cost"]
    size = manifest["list"]["top_k"] if top is None else top
    if budget is not None and offer_cost > 0:
        affordable = int(budget / offer_cost)
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
    conditions = ["left_out_because is null", *(f"{sql_name(n)} = ?" for n in where or {})]
    if order == "gain":
        conditions.append("expected_gain > 0")
    query = f"""
        select {", ".join(COLUMNS)}
        from churn_predictions_latest
        inner join contact_candidates using (user_id)
        inner join user_features_latest as features using (user_id)
        where {" and ".join(conditions)}
        order by {ORDERS[order]}
        limit {size}
    """
    with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as published:
        rows = published.execute(query, list((where or {}).values())).fetchall()
    users = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return CallList(users, offer_cost * len(users))
