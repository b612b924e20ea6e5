"""Prometheus metrics: what happened here, and what the published version says about itself."""

import itertools
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from api.store.loader import Holder

# A quantile is never seen above the last bound, so there must be some above what alerts ask for.
BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0),
)
PERFORMANCE = (
    *("base_rate", "roc_auc", "average_precision", "precision_at_50", "expected_precision_at_50"),
    *("lift_top_decile", "brier", "expected_calibration_error"),
)
STATUS = {"ok": 0, "warn": 1, "fail": 2}


class Metrics:
    """Counters of this app. With several workers they add up through PROMETHEUS_MULTIPROC_DIR."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "churnhouse_requests",
            "Requests answered, by route template.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.latency = Histogram(
            "churnhouse_request_seconds",
            "Time from a request's first byte to its answer's last.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )
        self.predictions = Counter(
            "churnhouse_predictions",
            "Predictions made by /predict (single) and /predict/batch (batch).",
            ("kind",),
            registry=registry,
        )
        self.lookups = Counter(
            "churnhouse_lookups", "Users looked up.", ("result",), registry=registry
        )
        self.reloads = Counter(
            "churnhouse_reloads",
            "Published versions taken into service (success) or kept out (failure).",
            ("result",),
            registry=registry,
        )
        self.refused = Counter(
            "churnhouse_refused", "Requests refused at the door.", ("reason",), registry=registry
        )
        for counter, values in (
            (self.predictions, ("single", "batch")),
            (self.lookups, ("found", "missing")),
            (self.reloads, ("success", "failure")),
            (self.refused, ("no_key", "bad_key", "role", "rate")),
        ):
            for value in values:  # a series that starts at 0 can be alerted on
                counter.labels(value)
        self.found, self.missing = self.lookups.labels("found"), self.lookups.labels("missing")
        self.single, self.batch = (
            self.predictions.labels("single"),
            self.predictions.labels("batch"),
        )

    def text(self, holder: "Holder") -> bytes:
        """The exposition: counters of all workers, gauges of what this one serves."""
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        gauges = CollectorRegistry()
        gauges.register(PublishedGauges(holder))
        return generate_latest(registry) + generate_latest(gauges)


class PublishedGauges:
    """Gauges read off the version in use at every scrape, so that none outlives its version."""

    def __init__(self, holder: "Holder") -> None:
        self._holder = holder

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; those that need a version only when there is one."""
        current, bad = self._holder.current, self._holder.bad
        yield _gauge("ready", "1 while a version is loaded.", float(current is not None))
        yield _gauge("bad_version", "1 while the newest version is kept out.", float(bool(bad)))
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


def _risk(tenths: list[tuple[int, int, float]]) -> Metric:
    """How many eligible users have at most which churn_risk, for each tenth of it."""
    users = {tenth: count for tenth, count, _ in tenths}
    below = list(itertools.accumulate(users.get(tenth, 0) for tenth in range(1, 11)))
    buckets = [(f"{tenth / 10}", count) for tenth, count in enumerate(below, start=1)]
    family = GaugeHistogramMetricFamily("churnhouse_churn_risk", "Eligible users by churn_risk.")
    family.add_metric([], [*buckets, ("+Inf", below[-1])], sum(total for *_, total in tenths))
    return family


def _drift(monitoring: dict[str, list[dict]]) -> Iterator[Metric]:
    psi = _family("feature_drift_psi", "PSI of each feature, newest date.", ["feature"])
    status = _family("feature_drift_status", "0 ok, 1 warn, 2 fail.", ["feature"])
    for row in newest(monitoring.get("feature_drift", [])):
        _add(psi, [row["feature"]], row["psi"])
        _add(status, [row["feature"]], STATUS.get(row["status"]))
    overall = _family("prediction_drift_psi", "PSI of the predictions, newest date.", [])
    verdict = _family("prediction_drift_status", "0 ok, 1 warn, 2 fail.", [])
    for row in newest(monitoring.get("prediction_drift", []))[-1:]:
        _add(overall, [], row["psi"])
        _add(verdict, [], STATUS.get(row["status"]))
    yield from (psi, status, overall, verdict)


def _performance(rows: list[dict]) -> Metric:
    """The newest mature date: what the model really achieved."""
    family = _family("model_performance", "Realised, newest mature date.", ["measure"])
    for row in newest([row for row in rows if row.get("is_mature")])[-1:]:
        for measure in PERFORMANCE:
            _add(family, [measure], row.get(measure))
    return family


def _bounds(rows: list[dict]) -> Metric:
    """The 95 % interval of what was realised on that date."""
    labels = ["measure", "bound"]
    family = _family("model_performance_bound", "95 % interval, newest mature date.", labels)
    for row in newest(rows):
        for bound in ("low", "high"):
            _add(family, [row["metric"], bound], row[bound])
    return family


def newest(rows: list[dict]) -> list[dict]:
    """The rows of the last as_of_date."""
    last = max((row["as_of_date"] for row in rows), default=None)
    return [row for row in rows if row["as_of_date"] == last]


def _family(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"churnhouse_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"churnhouse_{name}", text, value=value)


def _add(family: GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)
