"""Passes: one attempt at a resource, with what went wrong sorted, counted and told once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from typing import Any

from puna.cluster.errors import Reject, classify
from puna.context import Context
from puna.core.backoff import REJECTED_SECONDS, retry_delay
from puna.core.keyed_queue import Key
from puna.kind import Kind
from puna.reconcile import reconcile
from puna.wakeups import Done, Failed

log = logging.getLogger(__name__)


class Passes:
    """What a worker does with a key."""

    def __init__(self, kinds: Mapping[str, Kind[Any, Any, Any]], context: Context) -> None:
        self._kinds = kinds
        self._context = context
        self._troubles: dict[Key, str] = {}

    async def run_once(self, key: Key) -> Done | Failed:
        """Reconcile one resource; every failure becomes a delay."""
        kind = self._kinds[key.kind]
        began = time.perf_counter()
        ended: Done | Failed
        try:
            outcome = await reconcile(kind, key, self._context)
        except Exception as error:  # noqa: BLE001 - the one place where errors are sorted
            result, ended = self._failed(key, error)
        else:
            result = "success" if outcome.rejected is None else "rejected"
            self._tell(key, outcome.rejected)
            ended = Done(outcome.again, urgent=kind.first is None)
        self._context.metrics.reconciles.labels(key.kind, result).inc()
        self._context.metrics.durations.labels(key.kind).observe(time.perf_counter() - began)
        return ended

    def _failed(self, key: Key, error: Exception) -> tuple[str, Failed]:
        """Return the result's name and the wait."""
        failures = self._context.wakeups.queue.failures(key) + 1
        verdict = classify(error)
        if verdict is None:
            if self._troubles.get(key) != repr(error):
                log.error("%s %s: a bug", key.kind, _name(key), exc_info=error)
            self._troubles[key] = repr(error)
            return "error", Failed(retry_delay(failures, None, random.random()))  # noqa: S311
        self._tell(key, str(error))
        if isinstance(verdict, Reject):
            return "rejected", Failed(REJECTED_SECONDS)
        return "retry", Failed(retry_delay(failures, verdict.after, random.random()))  # noqa: S311

    def _tell(self, key: Key, trouble: str | None) -> None:
        """Log a trouble when it begins, changes and ends."""
        before = self._troubles.get(key)
        if trouble is None:
            if self._troubles.pop(key, None) is not None:
                log.info("%s %s: works again", key.kind, _name(key))
        elif trouble != before:
            self._troubles[key] = trouble
            log.warning("%s %s: %s", key.kind, _name(key), trouble)


def _name(key: Key) -> str:
    return f"{key.ref.namespace}/{key.ref.name}"
