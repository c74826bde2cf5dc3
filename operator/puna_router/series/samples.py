"""What was counted of revisions that are compared, for operators that ask Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from puna_router.control.world import cluster_name
from puna_router.samples import SERIES, UPTIME, EndpointSamples, flat


class SampleCollector(Collector):
    """Samples of the scrape that is under way."""

    def __init__(self) -> None:
        self.samples: Mapping[str, EndpointSamples] = MappingProxyType({})
        """By endpoint."""

    def collect(self) -> Iterable[Metric]:
        """Tell every number of every revision."""
        family = GaugeMetricFamily(
            SERIES,
            "What was counted of the revisions of endpoints with several of them since Envoy's "
            "start, as a canary is judged by it: by endpoint, revision, sample and start.",
            labels=["endpoint", "revision", "sample", "start"],
        )
        for endpoint, found in sorted(self.samples.items()):
            for revision, samples in sorted(found.revisions.items()):
                cluster = cluster_name(endpoint, revision)
                for name, number in ({UPTIME: found.uptime_seconds} | flat(samples)).items():
                    family.add_metric([endpoint, cluster, name, found.start or ""], number)
        yield family
