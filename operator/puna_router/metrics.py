"""Every series that a router publishes, named once.

Envoy counts requests; its series are read from its admin interface at each scrape and published
under the names here, in base units. The picker tells of its queue, and the control process adds
what it knows of itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
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
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from puna_router.picker.state import WAIT_BOUNDS, EndpointState, PickerState, WaitState

logger = logging.getLogger(__name__)

MILLISECOND: Final = 0.001
NOBODY: Final = "none"
"""Value of a label that does not apply."""


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
        "Requests by endpoint (none: the router answered itself), pool, revision, name of the API "
        "key and status code; code 0: the client left before the answer.",
    ),
    EnvoySeries(
        "envoy_puna_failed_requests",
        "puna_router_failed_requests",
        "counter",
        "Requests that failed for their client: status 500 and above, answers that broke off, "
        "refusals by the queue, no answer for 5 s or more until the client left; by endpoint and "
        "revision.",
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
        "envoy_puna_inter_token",
        "puna_router_inter_token_seconds",
        "histogram",
        "Mean time from one generated token to the next, one value for each answer, in whole "
        "milliseconds, as llama-server reports it.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_generation_milliseconds",
        "puna_router_generation_seconds",
        "counter",
        "Time in which tokens were generated, as llama-server reports it.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_prompt_tokens",
        "puna_router_prompt_tokens",
        "counter",
        "Prompt tokens that were evaluated, as llama-server reports them, also by API key.",
    ),
    EnvoySeries(
        "envoy_puna_cached_tokens",
        "puna_router_cached_tokens",
        "counter",
        "Prompt tokens that were taken from the cache, as llama-server reports them, also by "
        "API key.",
    ),
    EnvoySeries(
        "envoy_puna_generated_tokens",
        "puna_router_generated_tokens",
        "counter",
        "Tokens that were generated, as llama-server reports them, also by API key.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_requests",
        "puna_router_shadow_requests",
        "counter",
        "Copies of requests that a server got, by endpoint, revision and status code.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_dropped",
        "puna_router_shadow_dropped",
        "counter",
        "Copies of requests that were dropped, by endpoint and reason: no_free_slot, gave_way, or "
        "none if the picker did not answer.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_duration",
        "puna_router_shadow_duration_seconds",
        "histogram",
        "Time from a copy's first byte to its answer's last byte, for answers below 400.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_time_to_first_token",
        "puna_router_shadow_time_to_first_token_seconds",
        "histogram",
        "Time from a copy's first byte to the first byte of its answer's body.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_inter_token",
        "puna_router_shadow_inter_token_seconds",
        "histogram",
        "Mean time from one generated token to the next in answers to copies, one value for each, "
        "in whole milliseconds.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_generation_milliseconds",
        "puna_router_shadow_generation_seconds",
        "counter",
        "Time in which tokens were generated for copies.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_prompt_tokens",
        "puna_router_shadow_prompt_tokens",
        "counter",
        "Prompt tokens of copies that were evaluated.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_cached_tokens",
        "puna_router_shadow_cached_tokens",
        "counter",
        "Prompt tokens of copies that were taken from the cache.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_generated_tokens",
        "puna_router_shadow_generated_tokens",
        "counter",
        "Tokens that were generated for copies.",
    ),
    EnvoySeries(
        "envoy_http_ext_proc_failure_mode_allowed",
        "puna_router_picker_bypassed",
        "counter",
        "Requests that went past a picker which was away or did not answer in time.",
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


@dataclass(frozen=True, slots=True)
class ServedNames:
    """What is served now. Envoy keeps the series of what is gone until it ends itself."""

    endpoints: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether a series is about something that is there."""
        endpoint, revision = labels.get("endpoint", NOBODY), labels.get("revision", NOBODY)
        return endpoint in {NOBODY, *self.endpoints} and revision in {NOBODY, *self.clusters}


def translate(text: str, served: ServedNames) -> Iterator[Metric]:
    """Envoy's Prometheus text under the names of this module, of what is served."""
    series = {found.source: found for found in ENVOY}
    for family in text_string_to_metric_families(text):
        found = series.get(family.name)
        if found is not None:
            yield _translated(found, family, served)


def _translated(series: EnvoySeries, family: Metric, served: ServedNames) -> Metric:
    metric = Metric(series.name, series.documentation, series.kind)
    for sample in family.samples:
        suffix = sample.name.removeprefix(series.source)
        labels = {_LABELS.get(key, key): value for key, value in sample.labels.items()}
        labels = {
            key: value or NOBODY for key, value in labels.items() if not key.startswith("envoy_")
        }
        if not served.has(labels):
            continue
        value = sample.value
        if "le" in labels and labels["le"] != "+Inf":
            labels["le"] = _number(float(labels["le"]) * series.scale)
        if suffix in {"", "_sum", "_total"}:
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
        self.served = ServedNames()

    def collect(self) -> Iterable[Metric]:
        return translate(self.text, self.served)


class _PickerCollector(Collector):
    """The picker's series of the scrape that is under way."""

    def __init__(self) -> None:
        self.state: PickerState | None = None

    def collect(self) -> Iterable[Metric]:
        endpoints = self.state.endpoints if self.state is not None else {}
        yield GaugeMetricFamily(
            "puna_router_picker_up",
            "Whether the picker answers: without it nothing waits and slots are not counted.",
            value=float(self.state is not None),
        )
        for name, documentation, kind, value in _PICKER:
            family = kind(f"puna_router_{name}", documentation, labels=["endpoint"])
            for endpoint, state in sorted(endpoints.items()):
                family.add_metric([endpoint], value(state))
            yield family
        refused = CounterMetricFamily(
            "puna_router_refused",
            "Requests that the picker refused, by endpoint and reason.",
            labels=["endpoint", "reason"],
        )
        waits = HistogramMetricFamily(
            "puna_router_queue_wait_seconds",
            "Time that requests which got a slot had waited for it.",
            labels=["endpoint"],
        )
        for endpoint, state in sorted(endpoints.items()):
            for reason, count in sorted(state.rejected.items()):
                refused.add_metric([endpoint, reason], count)
            waits.add_metric([endpoint], _buckets(state.waits), state.waits.seconds)
        yield refused
        yield waits


_PICKER: Final[
    tuple[
        tuple[
            str,
            str,
            type[GaugeMetricFamily | CounterMetricFamily],
            Callable[[EndpointState], float],
        ],
        ...,
    ]
] = (
    (
        "queue_depth",
        "Requests that wait for a slot.",
        GaugeMetricFamily,
        lambda state: state.depth,
    ),
    (
        "queue_limit",
        "Requests that may wait in this router.",
        GaugeMetricFamily,
        lambda state: state.max_depth,
    ),
    (
        "slots",
        "Slots of healthy backends that this router may use.",
        GaugeMetricFamily,
        lambda state: sum(host.slots for host in state.hosts.values() if host.healthy),
    ),
    (
        "slots_busy",
        "Slots that requests of this router take.",
        GaugeMetricFamily,
        lambda state: sum(host.in_flight for host in state.hosts.values()),
    ),
    (
        "picked",
        "Requests that got a slot.",
        CounterMetricFamily,
        lambda state: state.picked,
    ),
    (
        "queue_left",
        "Requests whose client left while they waited.",
        CounterMetricFamily,
        lambda state: state.cancelled,
    ),
    (
        "prefix_hits",
        "Requests whose server had read some of their prompt before.",
        CounterMetricFamily,
        lambda state: state.prefix_hits,
    ),
    (
        "prefix_misses",
        "Requests with a prompt of which their server had read nothing before.",
        CounterMetricFamily,
        lambda state: state.prefix_misses,
    ),
)


def _buckets(waits: WaitState) -> list[tuple[str, float]]:
    """Cumulative buckets, as Prometheus has them."""
    bounds = [*(repr(float(bound)) for bound in WAIT_BOUNDS), "+Inf"]
    return list(zip(bounds, accumulate(waits.buckets), strict=True))


class RouterMetrics:
    """Series of one router."""

    TYPE: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._envoy = _EnvoyCollector()
        self._picker = _PickerCollector()
        self.registry.register(self._picker)
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

    def exposition(self, envoys: str, picker: PickerState | None, served: ServedNames) -> bytes:
        """All series as Prometheus text, of what is served.

        `envoys` is what Envoy's admin interface answered, `picker` what the picker says of itself.
        """
        self._envoy.text, self._envoy.served = envoys, served
        self._picker.state = picker
        merged = CollectorRegistry()
        merged.register(self._envoy)
        return generate_latest(self.registry) + generate_latest(merged)
