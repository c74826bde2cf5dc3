"""Context: everything that one pass may use, in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.api.trainingjob import TrainingJob
from puna.asking import Asking
from puna.cluster.client import Client
from puna.cluster.events import EventSender
from puna.cluster.pod_logs import PodLogs
from puna.cluster.prometheus import Prometheus
from puna.cluster.references import References
from puna.cluster.resources import ResourceType
from puna.cluster.telemetry import Telemetry
from puna.cluster.unlabelled import Unlabelled
from puna.comparisons import Comparisons
from puna.core.findings import Finding
from puna.core.keyed_queue import Key
from puna.core.plan import Manifest, ObjectKey, Ref, key_of
from puna.core.trim import trim
from puna.metrics import Metrics
from puna.parsed import Parsed
from puna.settings import Settings
from puna.store import Change, Store, version_of
from puna.triggers import wakes
from puna.wakeups import Wakeups
from puna_fetch.config import Progress as FetchProgress
from puna_trainer.progress import Progress as TrainerProgress


@dataclass(frozen=True, slots=True)
class Context:
    """The operator's parts."""

    settings: Settings
    store: Store
    client: Client
    unlabelled: Unlabelled
    references: References
    telemetry: Telemetry
    prometheus: Prometheus | None
    """Who tells what routers have counted; None: they do themselves."""
    fetch_logs: PodLogs[FetchProgress]
    training_logs: PodLogs[TrainerProgress]
    asking: Asking
    events: EventSender
    wakeups: Wakeups
    metrics: Metrics
    clock: Callable[[], datetime]
    endpoints: Parsed[LLMEndpoint]
    presets: Parsed[Preset]
    training_jobs: Parsed[TrainingJob]
    obstacles: dict[str, Finding] = field(default_factory=dict)
    """What keeps a namespace's router from being built, by namespace."""
    acknowledged: dict[Ref, str] = field(default_factory=dict)
    """Digest of the document that all routers ran when they were asked last, by endpoint."""
    turns: dict[Key, datetime] = field(default_factory=dict)
    """When the status of a TrainingJob may be written again for numbers alone."""
    rewritten: dict[ObjectKey, tuple[Manifest, tuple[object, ...]]] = field(default_factory=dict)
    """Children that admission changed on the way in: what we wanted, and what became of it."""
    comparisons: Comparisons = field(default_factory=Comparisons)
    writing: dict[ObjectKey, list[Change]] = field(default_factory=dict)
    """Objects that are being written, with what watches have shown of them meanwhile."""

    async def apply(self, manifest: Manifest, *, force: bool, by: Key) -> None:
        """Apply a child of a key's resource and remember it as it now is.

        Raises:
            ClusterError: it could not be applied.
        """
        async with self._write(key_of(manifest), by) as answer:
            answer.append(await self.client.apply(manifest, force=force))

    async def apply_status(
        self, resource: ResourceType, status: Mapping[str, Any], *, by: Key
    ) -> Manifest:
        """Apply the status of a key's resource and return the resource as it now is.

        Raises:
            ClusterError: it could not be applied.
        """
        namespace, name = by.ref.namespace, by.ref.name
        target = ObjectKey(resource.api_version, resource.kind, namespace, name)
        async with self._write(target, by) as answer:
            answer.append(await self.client.apply_status(resource, namespace, name, status))
        return answer[0]

    def wake(self, change: Change, *, but: Key | None = None) -> None:
        """Wake those whom a change concerns."""
        if change.after is None:
            self.comparisons.forget(key_of(change.manifest))
        for wake in wakes(change, self.store):
            if wake.key != but:
                self.wakeups.wake(wake.key, delay=wake.delay, urgent=wake.urgent)

    def changed(self, change: Change) -> None:
        """Take notice of what a watch shows; what we are writing ourselves waits for the answer."""
        held = self.writing.get(key_of(change.manifest))
        if held is None:
            self.wake(change)
        else:
            held.append(change)

    @asynccontextmanager
    async def _write(self, target: ObjectKey, by: Key) -> AsyncIterator[list[Manifest]]:
        """Tell our own write, which the watch may show before it is answered, from others' writes.

        The writer itself is not woken by its own write, everybody else is.
        """
        answer: list[Manifest] = []
        held = self.writing[target] = []
        try:
            yield answer
        finally:
            del self.writing[target]
            version = version_of(answer[0]) if answer else None
            for change in held:
                own = change.after is not None and version_of(change.after) == version
                self.wake(change, but=by if own else None)
        news = self.store.written(trim(answer[0]))
        if news is not None:
            self.wake(news, but=by)
