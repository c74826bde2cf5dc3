"""The page of metrics, from the objects that publish them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry

from hack.generate.markdown import NOTE, code, table
from puna.metrics import Metrics
from puna_router.metrics import RouterMetrics
from puna_router.series.envoy_names import ENVOY

INTRODUCTION: Final = """\
Prometheus text at `/metrics`. A router also publishes the `process_*` series of its platform.
"""


class Series(NamedTuple):
    """One published series."""

    name: str
    type: str
    meaning: str


def operator_series() -> list[Series]:
    """Return the series of the operator."""
    return list(_registered(Metrics().registry))


def router_series() -> list[Series]:
    """Return the series of a router: what it reads from Envoy, then its own."""
    envoy = [Series(_exposed(s.name, s.kind), s.kind, s.documentation) for s in ENVOY]
    return [*envoy, *_registered(RouterMetrics().registry)]


def metrics_page() -> str:
    """Return the page of metrics."""
    return "\n".join(
        [
            f"{NOTE}\n# Metrics\n",
            INTRODUCTION,
            "## Operator, port 8081\n\n" + _table(operator_series()),
            "## Router, port 9090\n\n" + _table(router_series()),
        ]
    )


def _registered(registry: CollectorRegistry) -> Iterator[Series]:
    for family in registry.collect():
        if not family.name.startswith("process_"):
            yield Series(_exposed(family.name, family.type), family.type, family.documentation)


def _exposed(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" and not name.endswith("_total") else name


def _table(series: Iterable[Series]) -> str:
    return table(("metric", "type", "meaning"), [(code(s.name), s.type, s.meaning) for s in series])
