"""Every series that a router publishes.

Envoy counts requests; its series are read from its admin interface at each scrape and published
under names of ours, in base units. The picker tells of its queue, and the control process adds
what it knows of itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

from puna_router.picker.state import PickerState
from puna_router.samples import EndpointSamples
from puna_router.series.envoy import EnvoyCollector, ServedNames
from puna_router.series.picker import PickerCollector
from puna_router.series.samples import SampleCollector


class RouterMetrics:
    """Series of one router."""

    TYPE: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._envoy = EnvoyCollector()
        self._picker = PickerCollector()
        self._samples = SampleCollector()
        self.registry.register(self._picker)
        self.registry.register(self._samples)
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

    def exposition(
        self,
        envoys: str,
        picker: PickerState | None,
        served: ServedNames,
        samples: Mapping[str, EndpointSamples],
    ) -> bytes:
        """All series as Prometheus text, of what is served.

        `envoys` is what Envoy's admin interface answered, `picker` what the picker says of itself,
        `samples` what was counted of endpoints whose revisions are compared.
        """
        self._envoy.text, self._envoy.served = envoys, served
        self._picker.state = picker
        self._samples.samples = samples
        merged = CollectorRegistry()
        merged.register(self._envoy)
        return generate_latest(self.registry) + generate_latest(merged)
