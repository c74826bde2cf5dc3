"""Series that the picker tells of its queue and its slots."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from puna_router.picker.state import WAIT_BOUNDS, EndpointState, PickerState, WaitState


class PickerCollector(Collector):
    """The picker's series of the scrape that is under way."""

    def __init__(self) -> None:
        self.state: PickerState | None = None

    def collect(self) -> Iterable[Metric]:
        """Read what the picker said of itself."""
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
