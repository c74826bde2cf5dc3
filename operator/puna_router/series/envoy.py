"""Envoy's series under the names and in the units of this router."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from puna_router.series.envoy_names import ENVOY, EnvoySeries

NOBODY: Final = "none"
"""Value of a label that does not apply."""

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


class EnvoyCollector(Collector):
    """Envoy's series of the scrape that is under way."""

    def __init__(self) -> None:
        self.text = ""
        self.served = ServedNames()

    def collect(self) -> Iterable[Metric]:
        """Read what the admin interface answered."""
        return translate(self.text, self.served)
