"""Every series that a router publishes, named once.

Envoy counts requests; its series are read from its admin interface at each scrape and published
under the names here, in base units. The control process adds what it knows of itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from puna_router.control.clusters import NO_BACKENDS

logger = logging.getLogger(__name__)

MILLISECOND: Final = 0.001


@dataclass(frozen=True, slots=True)
class EnvoySeries:
    """One series of Envoy's, and what it is published as."""

    source: str
    """Envoy's name in its Prometheus text."""
    name: str
    kind: str
    """counter, gauge or histogram."""
    documentation: str
    scale: float = 1.0
    """Factor from Envoy's unit to the published one."""


ENVOY: Final = (
    EnvoySeries(
        "envoy_puna_requests",
        "puna_router_requests",
        "counter",
        "Requests by endpoint (none: the router answered itself), revision, API key (where one is "
        "required) and status code; code 0: the client left before the answer.",
    ),
    EnvoySeries(
        "envoy_puna_duration",
        "puna_router_request_duration_seconds",
        "histogram",
        "Time from a request's first byte to its answer's last byte, for answers below 400.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_time_to_first_token",
        "puna_router_time_to_first_token_seconds",
        "histogram",
        "Time from a request's first byte to the first byte of its answer's body.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_prompt_tokens",
        "puna_router_prompt_tokens",
        "counter",
        "Prompt tokens that were evaluated, as llama-server reports them.",
    ),
    EnvoySeries(
        "envoy_puna_cached_tokens",
        "puna_router_cached_tokens",
        "counter",
        "Prompt tokens that were taken from the cache, as llama-server reports them.",
    ),
    EnvoySeries(
        "envoy_puna_generated_tokens",
        "puna_router_generated_tokens",
        "counter",
        "Tokens that were generated, as llama-server reports them.",
    ),
    EnvoySeries(
        "envoy_http_downstream_rq_active",
        "puna_router_requests_active",
        "gauge",
        "Requests under way.",
    ),
    EnvoySeries(
        "envoy_http_downstream_cx_active",
        "puna_router_connections_active",
        "gauge",
        "Connections of clients.",
    ),
    EnvoySeries(
        "envoy_cluster_upstream_rq_active",
        "puna_router_backend_requests_active",
        "gauge",
        "Requests under way, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_upstream_rq_retry",
        "puna_router_retries",
        "counter",
        "Further attempts on another backend, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_upstream_cx_connect_fail",
        "puna_router_connect_failures",
        "counter",
        "Connections that a backend did not take, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_membership_total",
        "puna_router_backends",
        "gauge",
        "Backends, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_membership_healthy",
        "puna_router_backends_healthy",
        "gauge",
        "Backends that get requests, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_outlier_detection_ejections_active",
        "puna_router_backends_ejected",
        "gauge",
        "Backends that are left out because they refused connections, by revision.",
    ),
    EnvoySeries(
        "envoy_server_uptime", "puna_router_envoy_uptime_seconds", "gauge", "Age of Envoy."
    ),
    EnvoySeries(
        "envoy_server_memory_allocated",
        "puna_router_envoy_memory_bytes",
        "gauge",
        "Memory that Envoy has allocated.",
    ),
)

ENVOY_STATS: Final = r"^(puna|http|cluster|server)\."
"""Names of the stats that are asked of Envoy."""

_LABELS: Final = {"envoy_cluster_name": "revision"}
"""Envoy's own label names, and what they are published as; others of its own are dropped."""


def translate(text: str) -> Iterator[Metric]:
    """Envoy's Prometheus text under the names of this module."""
    series = {found.source: found for found in ENVOY}
    for family in text_string_to_metric_families(text):
        found = series.get(family.name)
        if found is not None:
            yield _translated(found, family)


def _translated(series: EnvoySeries, family: Metric) -> Metric:
    metric = Metric(series.name, series.documentation, series.kind)
    for sample in family.samples:
        suffix = sample.name.removeprefix(series.source)
        labels = {_LABELS.get(key, key): value for key, value in sample.labels.items()}
        labels = {
            key: value or "none"
            for key, value in labels.items()
            if not key.startswith("envoy_") and (value or key != "key")
        }
        if labels.get("revision") == NO_BACKENDS:
            continue
        value = sample.value
        if "le" in labels and labels["le"] != "+Inf":
            labels["le"] = _number(float(labels["le"]) * series.scale)
        if suffix == "_sum" or not suffix:
            value *= series.scale
        if series.kind == "counter":
            suffix = "_total"
        metric.add_sample(f"{series.name}{suffix}", labels, value)
    return metric


def _number(value: float) -> str:
    return repr(round(value, 6))


class _EnvoyCollector(Collector):
    """Envoy's series of the scrape that is under way."""

    def __init__(self) -> None:
        self.text = ""

    def collect(self) -> Iterable[Metric]:
        return translate(self.text)


class RouterMetrics:
    """Series of one router."""

    TYPE: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._envoy = _EnvoyCollector()
        ProcessCollector(registry=self.registry)
        self._publications = Histogram(
            "puna_router_publication_duration_seconds",
            "Time from a change to Envoy's acknowledgement.",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
        )
        self._refusals = Counter(
            "puna_router_publications_refused",
            "Publications that the running Envoy refused although it had validated them.",
            registry=self.registry,
        )
        self._watch_restarts = Gauge(
            "puna_router_watch_restarts",
            "Times that a watch of the API server had to start anew.",
            registry=self.registry,
        )
        self._endpoints = self._gauge("endpoints", "Endpoints that are served.")
        self._rejected = self._gauge(
            "documents_rejected", "Endpoints whose newest document is refused."
        )
        self._files = self._gauge("files_written", "Files written for Envoy since the start.")
        self._validations = self._gauge(
            "validations", "Times that Envoy validated documents since the start."
        )

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(f"puna_router_{name}", documentation, registry=self.registry)

    @contextmanager
    def publication(self) -> Iterator[None]:
        """Measure one publication."""
        began = time.monotonic()
        yield
        self._publications.observe(time.monotonic() - began)

    def refused_publication(self) -> None:
        """Count a publication that Envoy refused."""
        self._refusals.inc()

    def follow_restarts(self, restarts: Callable[[], float]) -> None:
        """Take the number of watch restarts from a function."""
        self._watch_restarts.set_function(restarts)

    def observe(self, *, endpoints: int, rejected: int, files: int, validations: int) -> None:
        """Note what a publication left behind."""
        self._endpoints.set(endpoints)
        self._rejected.set(rejected)
        self._files.set(files)
        self._validations.set(validations)

    def exposition(self, envoys: str) -> bytes:
        """All series as Prometheus text; `envoys` is what Envoy's admin interface answered."""
        self._envoy.text = envoys
        merged = CollectorRegistry()
        merged.register(self._envoy)
        return generate_latest(self.registry) + generate_latest(merged)
