"""Metrics of the operator: every series, named once. The docs table is made from the help texts."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from puna.training_metrics import TrainingMetrics

DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.reconciles: Final = Counter(
            "puna_reconcile_total",
            "Passes over a resource by kind and result: success, retry (the API server was busy, "
            "away or faster), rejected (it refused a child), error (a bug).",
            ("kind", "result"),
            registry=self.registry,
        )
        self.durations: Final = Histogram(
            "puna_reconcile_duration_seconds",
            "Time of one pass over a resource.",
            ("kind",),
            registry=self.registry,
            buckets=DURATIONS,
        )
        self.queue_depth: Final = Gauge(
            "puna_queue_depth", "Resources that wait for a worker.", registry=self.registry
        )
        self.queue_oldest: Final = Gauge(
            "puna_queue_oldest_seconds",
            "Time that the resource that has waited longest for a worker has waited.",
            registry=self.registry,
        )
        self.requests: Final = Counter(
            "puna_api_requests_total",
            "Requests to the API server by verb, kind and status code; code is unreachable where "
            "no answer came.",
            ("verb", "kind", "code"),
            registry=self.registry,
        )
        self.watch_restarts: Final = Counter(
            "puna_watch_restarts_total",
            "Watches that were lost or could not be had, by kind.",
            ("kind",),
            registry=self.registry,
        )
        self.endpoints: Final = Gauge(
            "puna_endpoints",
            "LLMEndpoints by what their condition Ready says: True, False or Unknown.",
            ("ready",),
            registry=self.registry,
        )
        self.objects: Final = Gauge(
            "puna_objects", "Objects held in memory, by kind.", ("kind",), registry=self.registry
        )
        self.training: Final = TrainingMetrics(self.registry)
        self.events_dropped: Final = Counter(
            "puna_events_dropped_total",
            "Events of Kubernetes that could not be delivered.",
            registry=self.registry,
        )

    def count_request(self, verb: str, kind: str, code: str) -> None:
        """Count one request to the API server."""
        self.requests.labels(verb, kind, code).inc()

    def count_restart(self, kind: str) -> None:
        """Count one lost watch."""
        self.watch_restarts.labels(kind).inc()
