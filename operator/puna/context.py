"""Context: everything that one pass may use, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.cluster.client import Client
from puna.cluster.events import EventSender
from puna.cluster.pod_logs import FetchLogs
from puna.cluster.references import References
from puna.cluster.telemetry import Telemetry
from puna.cluster.unlabelled import Unlabelled
from puna.core.keyed_queue import Key
from puna.core.plan import Manifest
from puna.metrics import Metrics
from puna.parsed import Parsed
from puna.settings import Settings
from puna.store import Store
from puna.triggers import wakes
from puna.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Context:
    """The operator's parts."""

    settings: Settings
    store: Store
    client: Client
    unlabelled: Unlabelled
    references: References
    telemetry: Telemetry
    logs: FetchLogs
    events: EventSender
    wakeups: Wakeups
    metrics: Metrics
    clock: Callable[[], datetime]
    endpoints: Parsed[LLMEndpoint]
    presets: Parsed[Preset]

    def written(self, manifest: Manifest, by: Key) -> None:
        """Remember what a write brought about, and wake those others whom it concerns."""
        change = self.store.written(manifest)
        if change is None:
            return
        for wake in wakes(change, self.store):
            if wake.key != by:
                self.wakeups.wake(wake.key, delay=wake.delay, urgent=wake.urgent)
