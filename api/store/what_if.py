"""What follows from features that were never published: band, value, loss, gain, list."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from api.store.publication import Publication
from python_jobs.publication import candidate, prediction

SILENCE = "days_since_last_activity"
PERSONAL = ("not_wanted", "contacted", "snoozed")
"""Why somebody is left out who would be so with other features too."""


def follows(
    publication: Publication,
    risk: float,
    values: Sequence[Any],
    row: dict[str, Any] | None,
    published: Sequence[Any] | None,
) -> dict[str, Any]:
    """Return band, value, loss and the columns of a candidate for these values, with this risk.

    `row` and `published`: the user's published prediction and values. Without them, what depends on
    the person is None. `list_rank` is that of the published values only.
    """
    found = band(publication, risk, values, row, published)
    told = dict.fromkeys(("user_value", "expected_loss", *candidate.COLUMNS))
    if row is None:
        return {"risk_band": found} | told
    if values == published:
        return {"risk_band": found} | told | {name: row.get(name) for name in told}
    value = _value(publication, risk, row)
    told |= {
        "user_value": value,
        "expected_loss": None if value is None else risk * value,
        "last_contact_on": row.get("last_contact_on"),
        "snoozed_until": row.get("snoozed_until"),
        "owner": row.get("owner"),
        "left_out_because": _left_out(publication, row, found),
    }
    return {"risk_band": found} | told | _gain(publication, told["expected_loss"], found, values)


def band(
    publication: Publication,
    risk: float,
    values: Sequence[Any],
    row: dict[str, Any] | None,
    published: Sequence[Any] | None,
) -> str | None:
    """Return the band of a risk: gone if the values say that the user is not eligible.

    None if a version of an earlier release does not say who is eligible at another silence.
    """
    place = publication.positions.get(SILENCE)
    if row and published and (place is None or values[place] == published[place]):
        is_eligible = row["is_eligible"]
    elif place is None or publication.eligibility_days is None:
        return None
    else:
        silence = values[place]
        is_eligible = silence is not None and silence < publication.eligibility_days
    return prediction.band(risk) if is_eligible else "gone"


def _value(publication: Publication, risk: float, row: dict[str, Any]) -> float | None:
    """Return what the user is worth at another risk; None if an earlier release published."""
    horizons, value = publication.manifest.get("value_horizons"), row.get("user_value")
    if horizons is None or value is None:
        return None
    stays = prediction.horizons_stayed(risk, horizons)
    return float(value * stays / prediction.horizons_stayed(row["churn_risk"], horizons))


def _left_out(publication: Publication, row: dict[str, Any], found: str | None) -> str | None:
    """Return why nobody should contact the user, who is in another band than published."""
    reason = row.get("left_out_because")
    if row.get("in_holdout"):
        return "holdout"
    if found == "gone" or reason in PERSONAL:
        return "gone" if found == "gone" else reason
    as_of_date = date.fromisoformat(publication.as_of_date)
    pause = timedelta(days=publication.manifest.get("list", {}).get("contact_pause_days", 0))
    contacted, snoozed = row.get("last_contact_on"), row.get("snoozed_until")
    if contacted and date.fromisoformat(contacted) > as_of_date - pause:
        return "contacted"
    if snoozed and date.fromisoformat(snoozed) > as_of_date + timedelta(days=1):
        return "snoozed"
    return None


def _gain(
    publication: Publication, loss: float | None, found: str | None, values: Sequence[Any]
) -> dict[str, Any]:
    """Return save rate and gain of a contact; {} if an effect model decides them."""
    place, horizon = publication.positions.get(SILENCE), publication.metrics.get("horizon_days")
    effects = publication.monitoring.get("effect_model", [])
    if loss is None or place is None or horizon is None:
        return {}
    if any(row["state"] == "promoted" for row in effects):
        return {}
    silence = values[place]
    group = "recent" if silence is not None and silence * 4 < horizon else "silent"
    for rates in publication.monitoring.get("save_rates", []):
        if (rates["risk_band"], rates["silence_group"]) == (found, group):
            cost = publication.manifest["list"]["offer_cost"]
            return {
                "save_rate": rates["save_rate"],
                "expected_gain": loss * rates["save_rate"] - cost,
                "expected_gain_low": loss * rates["save_rate_low"] - cost,
                "expected_gain_high": loss * rates["save_rate_high"] - cost,
            }
    return {}
