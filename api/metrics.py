"""Prometheus metrics of the requests that this app answered."""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

# Quantiles are capped at the last bound, so bounds must go beyond the alert thresholds.
BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0),
)

REFUSED = (
    *("no_key", "bad_key", "role", "rate", "sign_in", "host", "other_site"),
    *("malformed", "slow", "crowded", "busy"),
)
"""Why requests and connections are refused."""


class Metrics:
    """Metrics of this app; PROMETHEUS_MULTIPROC_DIR adds up those of several workers."""

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
            (self.refused, REFUSED),
        ):
            for value in values:  # alerts need series that start at 0
                counter.labels(value)
        self.found, self.missing = self.lookups.labels("found"), self.lookups.labels("missing")
        self.single, self.batch = (
            self.predictions.labels("single"),
            self.predictions.labels("batch"),
        )

    def text(self, published: Collector) -> bytes:
        """Return the exposition: metrics of all workers, then those of `published`."""
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # library without types
        gauges = CollectorRegistry()
        gauges.register(published)
        return generate_latest(registry) + generate_latest(gauges)
