"""Runtime: the operator's parts put together, from the first list to the last event."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.api.trainingjob import TrainingJob
from puna.asking import Asking
from puna.cluster.client import Client
from puna.cluster.completions import Completions
from puna.cluster.connection import Connection, connect
from puna.cluster.events import EventSender
from puna.cluster.pages import Pages
from puna.cluster.pod_logs import PodLogs, Told
from puna.cluster.prometheus import Prometheus
from puna.cluster.references import References
from puna.cluster.reflector import Reflector
from puna.cluster.resources import WATCHED
from puna.cluster.telemetry import Telemetry
from puna.cluster.unlabelled import Unlabelled
from puna.context import Context
from puna.core.readiness import condition_of
from puna.core.trim import trim
from puna.endpoint.diagnosis import is_fetching
from puna.endpoint.model_volume import FETCH
from puna.health import Limits, Vitals
from puna.kinds import KINDS
from puna.listener import listen
from puna.metrics import Metrics
from puna.parsed import Parsed
from puna.passes import Passes
from puna.settings import Settings
from puna.store import Change, Store
from puna.training.job import TRAINER
from puna.training.outcome import is_running
from puna.triggers import ENDPOINT, TRAINING_JOB, initial_wakes
from puna.wakeups import Wakeups
from puna_fetch.config import Progress as FetchProgress
from puna_trainer.progress import Progress as TrainerProgress

VITALS_SECONDS: Final = 1.0
FLUSH_SECONDS: Final = 0.5
FETCH_LINES: Final = 1
TRAINER_LINES: Final = 16
"""Other programs' lines may stand behind the trainer's last progress."""

log = logging.getLogger(__name__)


async def run(settings: Settings, kubeconfig: Path | None, limits: Limits | None = None) -> None:
    """Run the operator until cancelled.

    Raises:
        CredentialsError: there is no API server to talk to.
        ListenError: the address for health and metrics cannot be had.
    """
    async with connect(kubeconfig) as connection, aiohttp.ClientSession() as plain:
        runtime = Runtime(settings, connection, plain)
        with listen(
            settings.listen, runtime.metrics.registry, lambda: runtime.vitals, limits or Limits()
        ) as port:
            log.info("health and metrics on port %d, API server %s", port, connection.host)
            await runtime.run()


class Runtime:
    """All parts of one running operator."""

    def __init__(
        self, settings: Settings, connection: Connection, plain: aiohttp.ClientSession
    ) -> None:
        """Use `plain`, a session without credentials, for everything but the API server."""
        self.metrics: Final = Metrics()
        self.vitals = Vitals(at=time.monotonic())
        self._started = time.monotonic()
        self._counted = -1
        # A Prometheus that hangs is to hold no router up.
        of_routers, of_prometheus = self._pages = Pages(plain), Pages(plain)
        store = Store(self._changed)
        client = Client(connection, self.metrics.count_request)
        wakeups = Wakeups(settings.workers, time.monotonic)
        self.context: Final = Context(
            settings=replace(settings, api_server_host=urlsplit(connection.host).hostname),
            store=store,
            client=client,
            unlabelled=Unlabelled(client),
            references=References(client),
            telemetry=Telemetry(of_routers),
            prometheus=_prometheus(settings, of_prometheus),
            fetch_logs=PodLogs(client, store, Told(FetchProgress, FETCH, is_fetching, FETCH_LINES)),
            training_logs=PodLogs(
                client, store, Told(TrainerProgress, TRAINER, is_running, TRAINER_LINES)
            ),
            asking=Asking(Completions(plain), client),
            events=EventSender(client, self.metrics.events_dropped.inc),
            wakeups=wakeups,
            metrics=self.metrics,
            clock=lambda: datetime.now(UTC),
            endpoints=Parsed(LLMEndpoint),
            presets=Parsed(Preset),
            training_jobs=Parsed(TrainingJob),
        )
        self._reflectors = [
            Reflector(
                connection,
                resource,
                store,
                namespace=settings.watch_namespace,
                keep=trim,
                restarted=self.metrics.count_restart,
            )
            for resource in WATCHED
        ]

    async def run(self) -> None:
        """Watch, then reconcile, until cancelled."""
        parts: list[Coroutine[Any, Any, None]] = [item.run() for item in self._reflectors]
        parts += [self._observe_vitals(), self.context.events.run(), self._reconcile()]
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(part)
        finally:
            await self.context.fetch_logs.close()
            await self.context.training_logs.close()
            await self.context.asking.close()
            for pages in self._pages:
                await pages.close()

    async def _reconcile(self) -> None:
        """Wait until everything that exists is known, then work on what is woken."""
        context = self.context
        await context.store.synced.wait()
        took = time.monotonic() - self._started
        log.info(
            "all lists are in after %.2f s: %d LLMEndpoints, %d TrainingJobs",
            took,
            context.store.count(ENDPOINT),
            context.store.count(TRAINING_JOB),
        )
        for wake in initial_wakes(context.store):
            context.wakeups.wake(wake.key, delay=wake.delay, urgent=wake.urgent)
        passes = Passes(KINDS, context)
        try:
            await context.wakeups.work(passes.run_once)
        finally:
            await context.events.flush(FLUSH_SECONDS)

    def _changed(self, change: Change) -> None:
        """Take notice of a change; before all lists are in, none is acted on."""
        if self.context.store.synced.is_set():
            self.context.changed(change)

    async def _observe_vitals(self) -> None:
        """Write down every second how the operator does."""
        queue = self.context.wakeups.queue
        while True:
            now = time.monotonic()
            longest = queue.longest_run(now)
            silent = max(self._reflectors, key=lambda item: now - item.heard_at)
            answered = max(
                self.context.client.answered_at, *(item.heard_at for item in self._reflectors)
            )
            waiting = queue.longest_wait(now)
            self.vitals = Vitals(
                at=now,
                waiting_seconds=waiting,
                running_seconds=longest[0] if longest else 0.0,
                running=f"{longest[1].kind} {longest[1].ref.name}" if longest else "",
                silent_seconds=now - silent.heard_at,
                silent=silent.plural,
                unreachable_seconds=now - answered,
            )
            self.metrics.queue_depth.set(queue.depth())
            self.metrics.queue_oldest.set(waiting)
            self._count_objects()
            await asyncio.sleep(VITALS_SECONDS)

    def _count_objects(self) -> None:
        """Set the gauges that are made from the store, if anything in it has changed."""
        store = self.context.store
        if store.revision == self._counted:
            return
        self._counted = store.revision
        for resource in WATCHED:
            self.metrics.objects.labels(resource.kind).set(store.count(resource.kind))
        counts = Counter(
            condition_of(manifest, "Ready") or "Unknown" for manifest in store.all(ENDPOINT)
        )
        for ready in ("True", "False", "Unknown"):
            self.metrics.endpoints.labels(ready).set(counts[ready])
        self.metrics.training.show(store.all(TRAINING_JOB))


def _prometheus(settings: Settings, pages: Pages) -> Prometheus | None:
    if settings.prometheus_url is None:
        return None
    token = settings.prometheus_token_file
    return Prometheus(
        pages, settings.prometheus_url, token_file=None if token is None else Path(token)
    )
