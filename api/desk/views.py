"""Computes what the pages show from a published version. No HTML and no requests here."""

from datetime import date, timedelta
from itertools import groupby
from typing import Any

from api.desk.render import words
from api.store.gauges import newest
from api.store.publication import Publication, is_whole
from python_jobs.publication.attribute_values import OTHER, UNKNOWN
from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.publication.prediction import BANDS, RISK_BANDS

SHOWN_VALUES = 8
"""Values of an attribute that the overview shows."""

STRIP_DATES = 14
"""Dates in the drift strip."""

COMPARED = {
    "average_precision_by_date": ("average_precision", "Average precision"),
    "roc_auc_by_date": ("roc_auc", "ROC AUC"),
    "precision_at_50": ("precision", "Precision at 50"),
    "lift_top_decile": ("lift", "Lift, top tenth"),
    "log_loss": ("log_loss", "Log loss"),
    "brier": ("brier", "Brier"),
    "expected_calibration_error": ("calibration", "Calibration error"),
}
"""A metric's word in the glossary, and its heading."""

MODELS = {
    "logistic_regression": "Logistic regression",
    "hist_gradient_boosting": "Gradient boosting",
    "prior_rate": "Rule: everybody alike",
    "recency": "Rule: longest silent first",
    "frequency": "Rule: least often active first",
    "rfm_logistic": "Rule: recency, frequency, value",
}

GENERAL = ("days_since_last_activity", "tenure_days", "active_days", "events")
"""What is measured in every domain."""
FIRST = {"General": 0, "Attributes": 1}
"""Headings that come before the measures."""


def bands(publication: Publication) -> list[dict[str, Any]]:
    """Count users by band, with the change since the previous published date."""
    before = _earlier(publication)
    total = publication.users or 1
    # versions of earlier releases counted people who are gone in the other bands
    counted = {band: "users" if band == "gone" else "eligible_users" for band in BANDS}
    return [
        {
            "band": band,
            "users": (users := publication.bands.get(band, {}).get(counted[band], 0)),
            "share": users / total,
            "change": users - before.get(band, {}).get(counted[band], 0) if before else None,
        }
        for band in BANDS
    ]


def losses(publication: Publication) -> list[dict[str, Any]]:
    """Return who is expected to leave by each attribute, the values with the largest loss first.

    [{attribute, values: [row of risk_by_attribute with `share` of the loss], others}]; `others` is
    the number of values that are not shown.
    """
    rows = publication.monitoring.get("risk_by_attribute", [])
    found = []
    for attribute in publication.attributes:
        values = [row for row in rows if row["attribute"] == attribute]
        total = sum(row["expected_loss"] for row in values)
        shown = [
            row | {"share": row["expected_loss"] / total if total else None}
            for row in values[:SHOWN_VALUES]
        ]
        if values:
            found.append(
                {"attribute": attribute, "values": shown, "others": len(values) - len(shown)}
            )
    return found


def expected(publication: Publication) -> dict[str, Any]:
    """Return how many eligible users are expected to churn, and the change."""
    now = sum(band["expected_churners"] for band in publication.bands.values())
    eligible = sum(band["eligible_users"] for band in publication.bands.values())
    before = _earlier(publication)
    was = sum(row["expected_churners"] for row in before.values()) if before else None
    return {
        "churners": round(now),
        "eligible": eligible,
        "share": now / eligible if eligible else None,
        "change": None if was is None else round(now) - round(was),
        "since": next(iter(before.values()))["as_of_date"] if before else None,
    }


def _earlier(publication: Publication) -> dict[str, dict[str, Any]]:
    """Return the bands of the previous date, if it is published."""
    rows = publication.monitoring.get("risk_bands", [])
    rows = newest([row for row in rows if row["as_of_date"] < publication.as_of_date])
    return {row["risk_band"]: row for row in rows}


def compared_with(publication: Publication) -> str | None:
    """Return the date with which churn_moves compares; None while no date is a week older."""
    week_ago = date.fromisoformat(publication.as_of_date) - timedelta(days=7)
    dates = {row["as_of_date"] for row in publication.monitoring.get("risk_bands", [])}
    return max((day for day in dates if day <= week_ago.isoformat()), default=None)


def calendar(publication: Publication) -> list[dict[str, Any]]:
    """Return the coming weeks, each number with its interval's place on a bar of 100."""
    rows = publication.monitoring.get("churn_calendar", [])
    weeks = [dict(row) for row in sorted(rows, key=lambda row: row["week_start"])]
    for name in ("expected_leavers", "expected_loss"):
        top = max((week[f"{name}_high"] or 0 for week in weeks), default=0) or 1
        for week in weeks:
            values = {"value": week[name], "low": week[f"{name}_low"], "high": week[f"{name}_high"]}
            week[f"{name}_bar"] = {
                end: None if value is None else round(value / top * 100, 1)
                for end, value in values.items()
            }
    return weeks


def bands_over_time(publication: Publication) -> dict[str, Any] | None:
    """Return chart data of users by band and date; None until there are two dates."""
    rows = publication.monitoring.get("risk_bands", [])
    dates = sorted({row["as_of_date"] for row in rows})
    if len(dates) < 2:
        return None
    counts = {(row["as_of_date"], row["risk_band"]): row["eligible_users"] for row in rows}
    series = {band: [counts.get((date, band), 0) for date in dates] for band in RISK_BANDS}
    return {"dates": dates, "series": series}


def precision(publication: Publication) -> dict[str, Any] | None:
    """Return expected and realised precision at top_k by date; None until published."""
    rows = publication.monitoring.get("model_performance")
    if not rows:
        return None
    return {
        "dates": [row["as_of_date"] for row in rows],
        "expected": [row.get("expected_precision_at_top_k") for row in rows],
        "realised": [
            row.get("precision_at_top_k") if row.get("is_mature") else None for row in rows
        ],
    }


def drift(publication: Publication) -> dict[str, Any] | None:
    """Return the heat strip: one row per feature, worst first, one cell per date."""
    rows = publication.monitoring.get("feature_drift")
    if not rows:
        return None
    dates = sorted({row["as_of_date"] for row in rows})[-STRIP_DATES:]
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault(row["feature"], {})[row["as_of_date"]] = row
    last = dates[-1]

    def drifted(feature: str) -> tuple[bool, float]:
        cell = cells[feature].get(last, {})
        return bool(cell.get("is_clock_like")), -(cell.get("psi") or 0)

    features = sorted(cells, key=drifted)
    strip = [
        {"feature": feature_words(publication, f), "cells": [cells[f].get(date) for date in dates]}
        for f in features
    ]
    verdicts = [row["status"] for row in newest(rows)]
    counts = {status: verdicts.count(status) for status in ("fail", "warn", "watch", "ok")}
    return {"dates": dates, "strip": strip, "counts": counts, "last": last}


def comparison(publication: Publication) -> list[dict[str, Any]]:
    """Compare the model with the baselines on eligible users of held-out dates."""
    metrics = publication.metrics
    rows = []
    for name, model in metrics.get("models", {}).items():
        pooled = model.get("folds", {}).get("pooled", {}).get("eligible")
        if pooled:
            title = MODELS.get(name, words(name))
            chosen = name == metrics.get("selected")
            rows.append({"name": title, "is_chosen": chosen, "metrics": pooled})
    return sorted(rows, key=lambda row: not row["is_chosen"])


def features(publication: Publication, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return a user's features by measure: numbers with slider and typical range, or choices."""
    rows = []
    for (name, kind), value in zip(publication.features.items(), values, strict=True):
        if name in publication.known_values:
            rows.append(_choice(publication, name, value))
            continue
        typical, fact = publication.typical.get(name), publication.feature_facts[name]
        days = fact.window if isinstance(fact.window, int) and is_whole(kind) else None
        least, most = publication.contradictions.limits.get(name, (None, None))
        most = days if fact.measure == "active_days" else most
        rows.append(
            {
                "name": name,
                "counts": fact.measure if days else None,
                "days": days,
                "words": feature_words(publication, name),
                "value": value,
                "choices": None,
                "typical": typical,
                "is_whole": is_whole(kind),
                "group": _group(fact),
                **_slider(value, typical, whole=is_whole(kind), least=least, most=most),
            }
        )
    rows.sort(key=lambda row: FIRST.get(row["group"], len(FIRST)))
    order = list(dict.fromkeys(row["group"] for row in rows))
    rows.sort(key=lambda row: order.index(row["group"]))
    groups = groupby(rows, key=lambda row: row["group"])
    found = [{"name": name, "features": list(members)} for name, members in groups]
    return [
        group | {"has_typical": any(one["typical"] for one in group["features"])} for group in found
    ]


def feature_words(publication: Publication, name: str) -> str:
    """Return a feature in words: watch_minutes_30d is "Watch minutes, last 30 days"."""
    fact = publication.feature_facts.get(name)
    if fact is None or fact.window is None:
        return words(name)
    ending = " trend" if fact.window == "trend" else f", last {fact.window} days"
    return words(fact.measure) + ending


def _group(fact: FeatureFact) -> str:
    """Return the heading under which the desk lists a feature."""
    return "General" if fact.measure in GENERAL else words(fact.measure)


def _choice(publication: Publication, name: str, value: str | None) -> dict[str, Any]:
    """Return an attribute with the values that the model tells apart, and the user's among them."""
    known = publication.known_values[name]
    choices = [*known, *({OTHER} - set(known))]
    text = UNKNOWN if value is None else value
    return {
        "name": name,
        "words": words(name),
        "value": value,
        "choices": choices,
        "chosen": text if text in known else OTHER,
        "typical": None,
        "group": "Attributes",
    }


def _slider(
    value: float | None,
    typical: dict[str, Any] | None,
    *,
    whole: bool,
    least: float | None,
    most: float | None,
) -> dict[str, Any]:
    """Return a slider's range and step, and where the value and typical values lie on it.

    `least` and `most`: the smallest and the largest value that can be, where these are known.
    """
    known = [value or 0, *(typical.values() if typical else ())]
    known = [one for one in known if one is not None]
    low, high = min(0, *known) if least is None else least, max(known) * 1.5
    high = max(high, 10 if whole else 1)
    step = 1 if whole else next(s for s in (1, 0.1, 0.01) if s * 100 <= high - low or s == 0.01)
    high = -(-high // step) * step if most is None else most
    places = {"low": low, "high": round(high, 4), "step": step}
    span = high - low
    for name, at in (("at", value), *((typical or {}).items())):
        places[f"x_{name}"] = None if at is None else round((at - low) / span * 100, 1)
    return places
