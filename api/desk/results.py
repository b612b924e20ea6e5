"""Says in plain words what contacts changed, and whether the model kept its promises."""

import math
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from api.store.publication import Publication

NORMAL = 1.96
"""Half a 95 % interval, in standard errors."""

PLANNED = 0.1
"""The difference for which the desk says how many contacts are still missing."""

COARSE = 0.1
"""From this half interval on, tenths say as much as is known; else hundredths."""


def campaigns(publication: Publication) -> list[dict[str, Any]]:
    """Return the campaigns by the month of their contacts, newest first, with what they changed.

    A version of an earlier release has each campaign once, in the month in which it began.

    [{month, campaigns: [{campaign, ..., verdict, sentence}]}]
    """
    rows = publication.monitoring.get("campaign_lift", [])
    rows = sorted(rows, key=lambda row: (row["started_on"], row["campaign"]), reverse=True)
    horizon = timedelta(days=publication.metrics.get("horizon_days", 30))
    known_until = date.fromisoformat(publication.as_of_date) - horizon
    months = []
    for name, found in groupby(rows, key=lambda row: row["started_on"][:7]):
        month = date.fromisoformat(f"{name}-01")
        is_over = (month + timedelta(days=31)).replace(day=1) <= known_until
        told = [row | lift(row, is_over=is_over) for row in found]
        months.append({"month": f"{month:%B %Y}", "campaigns": told})
    return months


def lift(row: dict[str, Any], *, is_over: bool = False) -> dict[str, str]:
    """Say what a campaign changed: `verdict` is kept, lost, same, few or open, with a sentence.

    `is_over`: whether all outcomes are known, so that none is to come.
    """
    difference, low, high = (
        row[name] for name in ("difference", "difference_low", "difference_high")
    )
    if difference is None:
        if not row["treated_measured"] and not row["holdout_measured"]:
            text = "Not known yet: no outcome of a user who was scored before, or of the holdout."
            if is_over:
                text = "Cannot be told: nobody was scored before the contact, or of the holdout."
        else:
            text = "Not known: no contacted user compares with one of the holdout."
        return {"verdict": "open", "sentence": text}
    of = 10 if (high - low) / 2 >= COARSE else 100
    fewer = f"between {_fewer(-low, of)} and {_fewer(-high, of)}"
    if high < 0:
        return {
            "verdict": "kept",
            "sentence": f"{_count(-difference, of)} of {of} fewer left; between"
            f" {_count(-high, of)} and {_count(-low, of)}.",
        }
    if low > 0:
        return {
            "verdict": "lost",
            "sentence": f"{_count(difference, of)} of {of} more left; between"
            f" {_count(low, of)} and {_count(high, of)}.",
        }
    if (high - low) / 2 <= PLANNED:
        text = f"No clear difference: of {of} contacted, {fewer} left."
        return {"verdict": "same", "sentence": text}
    missing = missing_contacts(row)
    wanted = (
        f"about {_roughly(missing):,} more contacts needed"
        if missing is not None
        else "the holdout is too small to tell; a larger holdout_share helps"
    )
    return {
        "verdict": "few",
        "sentence": f"Too few to tell: of {of} contacted, {fewer} left; {wanted}.",
    }


def missing_contacts(row: dict[str, Any]) -> int | None:
    """Return how many more contacts would show a difference of PLANNED; None if no number would.

    The holdout stays as it is, so it alone may already be too small.
    """
    # one churner and one stayer more, as campaign_lift counts: the rate may be 0 or 1
    treated = int(row["treated_measured"])
    share = (row["treated_churn"] * treated + 1) / (treated + 2)
    variance = ((row["difference_high"] - row["difference_low"]) / 2 / NORMAL) ** 2
    of_holdout = max(0.0, variance - share * (1 - share) / treated)
    left = (PLANNED / NORMAL) ** 2 - of_holdout
    return max(1, math.ceil(share * (1 - share) / left) - treated) if left > 0 else None


def _roughly(count: int) -> int:
    return round(count, min(0, 2 - len(str(count))))


def _fewer(value: float, of: int) -> str:
    count = round(value * of)
    return "as many" if count == 0 else f"{abs(count)} {'fewer' if count > 0 else 'more'}"


def _count(value: float, of: int) -> int:
    return round(value * of)


def promises(publication: Publication) -> list[dict[str, Any]]:
    """Compare, newest date first, how many of the riskiest were expected to leave and how many did.

    [{as_of_date, users, expected, left}]; `left` is None while the outcomes are open.
    """
    top_k = publication.manifest.get("list", {}).get("top_k", 50)
    kept = []
    for row in reversed(publication.monitoring.get("model_performance", [])):
        expected, realised = (
            row.get("expected_precision_at_top_k"),
            row.get("precision_at_top_k"),
        )
        if expected is None:
            continue
        users = min(top_k, row.get("users") or top_k)
        is_known = row.get("is_mature") and realised is not None
        kept.append(
            {
                "as_of_date": row["as_of_date"],
                "users": users,
                "expected": round(expected * users),
                "left": round(realised * users) if is_known else None,
            }
        )
    return kept


def list_lead(publication: Publication) -> dict[str, Any] | None:
    """Return how much more a contact by the list kept than by risk.

    None if it is not measured, or the list is the riskiest first.
    {amount, word, low, high, is_clear}: `amount` is without a sign, `word` is more or less.
    """
    for row in publication.monitoring.get("policy_value", []):
        if row["policy"] == "risk" and row.get("list_lead") is not None:
            lead, low, high = (row[f"list_lead{end}"] for end in ("", "_low", "_high"))
            if low == high:
                return None
            word = "less" if lead < 0 else "more"
            is_clear = low > 0 or high < 0
            return dict(amount=abs(lead), word=word, low=low, high=high, is_clear=is_clear)
    return None


def save_rates(publication: Publication) -> list[dict[str, Any]]:
    """Return the save rates of groups with contacts and holdout, the largest group first."""
    rows = publication.monitoring.get("save_rates", [])
    learned = [row for row in rows if row["measured_rate"] is not None]
    return sorted(learned, key=lambda row: -row["treated_users"])
