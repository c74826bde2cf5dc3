"""Routing in force: what the spec says, and the operator's defaults for what it leaves open."""

from __future__ import annotations

from typing import TypeVar

from puna.api.routing import HealthCheck, Queue, Routing
from puna.settings import RouterSettings

ValueT = TypeVar("ValueT")


def effective_routing(wanted: Routing, settings: RouterSettings) -> Routing:
    """Return routing with every member set."""
    queue, check = wanted.queue, wanted.health_check
    return Routing(
        strategy=_first(wanted.strategy, settings.strategy),
        queue=Queue(
            max_depth=_first(queue.max_depth, settings.queue_max_depth),
            timeout_seconds=_first(queue.timeout_seconds, settings.queue_timeout_seconds),
        ),
        health_check=HealthCheck(
            interval_seconds=_first(check.interval_seconds, settings.health_interval_seconds),
            failure_threshold=_first(check.failure_threshold, settings.health_failure_threshold),
        ),
        retries=_first(wanted.retries, settings.retries),
        idle_timeout_seconds=_first(wanted.idle_timeout_seconds, settings.idle_timeout_seconds),
        keep_alive_seconds=_first(wanted.keep_alive_seconds, settings.keep_alive_seconds),
    )


def _first(value: ValueT | None, default: ValueT) -> ValueT:
    return default if value is None else value
