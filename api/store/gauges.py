"""Prometheus gauges of the published version: risk, drift and performance."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.store.publication import Publication

PERFORMANCE = (
    *("base_rate", "roc_auc", "average_precision", "precision_at_50", "expected_precision_at_50"),
    *("precision_at_top_k", "expected_precision_at_top_k"),
    *("lift_top_decile", "brier", "expected_calibration_error"),
)
STATUS = {"ok": 0, "warn": 1, "fail": 2}


class PublishedGauges(Collector):
    """Gauges of the loaded version, made anew for each scrape."""

    def __init__(
        self,
        current: Publication | None,
        bad: dict[str, str] | None,
        problems: dict[str, str | None],
        unchecked_seconds: float,
    ) -> None:
        self._current, self._bad = current, bad
        self._problems, self._unchecked_seconds = problems, unchecked_seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; skip those of a version if none is loaded."""
        current, bad = self._current, self._bad
        yield _gauge("ready", "1 while a version is loaded.", float(current is not None))
        yield _gauge("bad_version", "1 while the newest version is kept out.", float(bool(bad)))
        text = "How long ago published/current could last be read."
        yield _gauge("unchecked_seconds", text, self._unchecked_seconds)
        text = "1 while versions, keys, contacts or sessions cannot be checked as they should be."
        duties = _family("duty_failing", text, ["duty"])
        for duty, problem in self._problems.items():
            duties.add_metric([duty], float(problem is not None))
        yield duties
        if current is None:
            return
        age = time.time() - current.published_at
        yield _gauge("published_age_seconds", "Age of the version in use.", age)
        yield _gauge("published_users", "Users in the version in use.", current.users)
        info = _family("model_info", "What is served.", ["version", "model_version", "as_of_date"])
        info.add_metric([current.version, current.model_version, current.as_of_date], 1)
        yield info
        yield _risk(current.risk_tenths)
        yield from _drift(current.monitoring)
        yield _performance(current.monitoring.get("model_performance", []))
        yield _bounds(current.monitoring.get("performance_intervals", []))
        yield from _jobs(current.monitoring.get("job_runs", []))


def _risk(tenths: list[tuple[int, int, float]]) -> Metric:
    """Return the cumulative histogram of churn_risk of eligible users, in tenths."""
    users = {tenth: count for tenth, count, _ in tenths}
    below = list(itertools.accumulate(users.get(tenth, 0) for tenth in range(1, 11)))
    buckets = [(f"{tenth / 10}", count) for tenth, count in enumerate(below, start=1)]
    family = GaugeHistogramMetricFamily("churnhouse_churn_risk", "Eligible users by churn_risk.")
    family.add_metric([], [*buckets, ("+Inf", below[-1])], sum(total for *_, total in tenths))
    return family


def _drift(monitoring: dict[str, list[dict[str, Any]]]) -> Iterator[Metric]:
    psi = _family("feature_drift_psi", "PSI of each feature, newest date.", ["feature"])
    text = "PSI of each feature that moves as the history grows, newest date."
    clock_like = _family("clock_like_drift_psi", text, ["feature"])
    status = _family("feature_drift_status", "0 ok, 1 warn, 2 fail.", ["feature"])
    for row in newest(monitoring.get("feature_drift", [])):
        if row.get("is_clock_like"):  # judged apart: no alert and no worst value knows it
            _add(clock_like, [row["feature"]], row["psi"])
            continue
        _add(psi, [row["feature"]], row["psi"])
        _add(status, [row["feature"]], STATUS.get(row["status"]))
    overall = _family("prediction_drift_psi", "PSI of the predictions, newest date.", [])
    verdict = _family("prediction_drift_status", "0 ok, 1 warn, 2 fail.", [])
    for row in newest(monitoring.get("prediction_drift", []))[-1:]:
        _add(overall, [], row["psi"])
        _add(verdict, [], STATUS.get(row["status"]))
    yield from (psi, status, clock_like, overall, verdict)


def _performance(rows: list[dict[str, Any]]) -> Metric:
    """Yield the realised performance of the newest date with closed labels."""
    family = _family("model_performance", "Realised, newest mature date.", ["measure"])
    for row in newest([row for row in rows if row.get("is_mature")])[-1:]:
        for measure in PERFORMANCE:
            _add(family, [measure], row.get(measure))
    return family


def _bounds(rows: list[dict[str, Any]]) -> Metric:
    """Return the 95 % interval of the realised metric on that date."""
    labels = ["measure", "bound"]
    family = _family("model_performance_bound", "95 % interval, newest mature date.", labels)
    for row in newest(rows):
        for bound in ("low", "high"):
            _add(family, [row["metric"], bound], row[bound])
    return family


def _jobs(rows: list[dict[str, Any]]) -> Iterator[Metric]:
    """Yield what the last run of each step of each job took, read and used."""
    for name, column, text in (
        ("job_done", "is_done", "1 if the step ended well."),
        ("job_ended_timestamp_seconds", "ended_at", "When the step ended."),
        ("job_seconds", "seconds", "How long the step took."),
        ("job_rows", "row_count", "Rows that were loaded, or users that were published."),
        ("job_rejected_rows", "rejected_rows", "Rows that were refused."),
        ("job_peak_memory_bytes", "peak_memory_bytes", "Most memory until the step ended."),
    ):
        family = _family(name, f"{text} Of the last run.", ["command", "step"])
        for row in rows:
            _add(family, [row["job"], row["step"]], row[column])
        yield family


def newest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the last as_of_date."""
    last = max((row["as_of_date"] for row in rows), default=None)
    return [row for row in rows if row["as_of_date"] == last]


def _family(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"churnhouse_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"churnhouse_{name}", text, value=value)


def _add(family: GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)
