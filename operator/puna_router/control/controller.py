"""The control loop: from what a source says to what Envoy runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final

from puna_router.config import (
    Backend,
    BackendState,
    EndpointConfig,
    EndpointPhase,
    EndpointState,
    RouterState,
)
from puna_router.control.admin import Admin, AdminError, host_states
from puna_router.control.applied import recall, remember
from puna_router.control.choice import Choice, Verdict, choose, culprits
from puna_router.control.documents import Document
from puna_router.control.external_servers import ExternalServers
from puna_router.control.files import write
from puna_router.control.health import HostHealth, HostKey
from puna_router.control.health_watch import HealthWatch
from puna_router.control.key_file import KeyFile
from puna_router.control.keys.allowance import picker_keys, token_limits
from puna_router.control.keys.meter import TokenMeter
from puna_router.control.keys.ring import KeyRings
from puna_router.control.names import Names
from puna_router.control.picker_file import picker_config
from puna_router.control.publish import Publisher
from puna_router.control.secret import Secret, secret_names
from puna_router.control.shares import shares
from puna_router.control.snapshot import Rendered, render
from puna_router.control.source import Source
from puna_router.control.status_page import status_page
from puna_router.control.validate import ValidationFailedError, Validator
from puna_router.control.world import Served, Site, World, cluster_name, joined
from puna_router.metrics import RouterMetrics
from puna_router.picker.state import EndpointState as PickedState
from puna_router.picker.state import PickerState
from puna_router.series.envoy import ServedNames

PACE: Final = 0.05
"""Shortest time between two publications, in seconds: the first change goes out at once."""
ACKNOWLEDGE_PACE: Final = 0.25
"""Time between two looks at an Envoy that does not answer yet, in seconds."""
VALIDATION_PACE: Final = 5.0
"""Time until Envoy is asked again after it could not be asked, in seconds."""

logger = logging.getLogger(__name__)


class Controller:
    """Keeps one Envoy at what its source says."""

    def __init__(
        self,
        site: Site,
        *,
        publisher: Publisher,
        admin: Admin,
        validator: Validator,
        meter: TokenMeter,
        metrics: RouterMetrics,
    ) -> None:
        self._site = site
        self._publisher = publisher
        self._admin = admin
        self._validator = validator
        self._meter = meter
        self._metrics = metrics
        self._rings = KeyRings()
        self._changed = asyncio.Event()
        self._validation: asyncio.Task[None] | None = None
        self._health = HealthWatch(admin, publisher.layout.events, self.wake)
        self._names = Names(self.wake)
        self._externals = ExternalServers(self._names)
        self._world: World | None = None
        self._rendered: Rendered | None = None
        self._choice = Choice({}, {}, pending=True)
        self._running = recall(publisher.layout.applied)
        self._validated: dict[str, Document] = {}
        """Documents that Envoy was last asked about."""
        self._complete = False
        self.obstacle: str | None = "Envoy has not taken the first configuration yet"
        """Why nobody should send requests here."""

    def wake(self) -> None:
        """Say that something has changed."""
        self._changed.set()

    async def run(self, source: Source, key_file: KeyFile | None) -> None:
        """Publish whatever the source says, until cancelled."""
        await source.listed()
        await self._validate(source.documents())
        # An Envoy that serves already is not to be told that all its hosts are strangers.
        await self._health.look()
        self.wake()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._health.run())
            group.create_task(self._names.run())
            while True:
                await self._next_change()
                began = time.monotonic()
                await self._settle(source, key_file, group)
                await asyncio.sleep(max(0.0, PACE - (time.monotonic() - began)))

    async def state(self, picker: PickerState | None) -> RouterState:
        """What runs, what is refused, how Envoy finds backends, and what is under way there."""
        try:
            states = host_states(await self._admin.clusters())
        except AdminError:
            states = {}
        world = self._world or World()
        served = {found.config.name: found for found in world.endpoints}
        names = sorted({*self._choice.refused, *self._running})
        picked = picker.endpoints if picker is not None else {}
        return RouterState(
            endpoints={
                name: self._endpoint_state(name, served.get(name), states, picked.get(name))
                for name in names
            }
        )

    def served_names(self) -> ServedNames:
        """Names of what is served."""
        world = self._world or World()
        return ServedNames(
            endpoints=frozenset(served.config.name for served in world.endpoints),
            clusters=frozenset(
                cluster_name(served.config.name, revision.name)
                for served in world.endpoints
                for revision in served.revisions
            ),
        )

    def revisions(self, endpoint: str) -> tuple[str, ...] | None:
        """Names of the revisions that are served of an endpoint; None if there is no such one."""
        return self.all_revisions().get(endpoint)

    def all_revisions(self) -> dict[str, tuple[str, ...]]:
        """Names of the revisions that are served, by endpoint."""
        return {
            served.config.name: tuple(revision.name for revision in served.revisions)
            for served in (self._world or World()).endpoints
        }

    def status_page(self, endpoint: str, picker: PickerState | None) -> str | None:
        """What clients of an endpoint may know of it; None if there is no such endpoint."""
        world = self._world or World()
        found = (served for served in world.endpoints if served.config.name == endpoint)
        served = next(found, None)
        if served is None:
            return None
        chosen = shares(served, world.healthy)
        picked = picker.endpoints.get(endpoint) if picker is not None else None
        return status_page(served, chosen, self._health.usable, picked)

    async def _next_change(self) -> None:
        """Wait for a change; while Envoy lags behind, only for a moment."""
        try:
            async with asyncio.timeout(None if self._complete else ACKNOWLEDGE_PACE):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _settle(
        self, source: Source, key_file: KeyFile | None, group: asyncio.TaskGroup
    ) -> None:
        newest = source.documents()
        self._choice = choose(newest, self._judge, self._last_good())
        if self._choice.pending and (self._validation is None or self._validation.done()):
            self._validation = group.create_task(self._validate(newest))
        if key_file is not None and key_file.key is None:
            return
        names = secret_names(self._configs())
        secrets = source.secrets(names)
        if secrets.keys() != names:
            return  # the first answer about each comes within moments, and wakes us
        world = self._render_world(source, secrets, key_file.key if key_file else None)
        self._meter.follow(token_limits(self._configs(), world.keys, world.routers))
        self._tell_picker(world)
        if world == self._world and self._complete:
            self._accept(self._choice.documents)
            return
        await self._publish(world)

    def _last_good(self) -> dict[str, Document]:
        """What may run while a newer document has no verdict yet, by endpoint.

        An Envoy that has just started runs nothing: then it is what was found good since.
        """
        found = {
            endpoint: document
            for endpoint, document in self._validated.items()
            if document.config is not None and self._judge(document.config) == Verdict()
        }
        return found | self._running

    def _accept(self, documents: dict[str, Document]) -> None:
        """Note what Envoy runs; a document may be worded anew and mean the same."""
        if documents != self._running:
            self._running = documents
            remember(self._publisher.layout.applied, documents)

    def _configs(self) -> list[EndpointConfig]:
        """What is to run."""
        documents = self._choice.documents.values()
        return [document.config for document in documents if document.config is not None]

    def _render_world(
        self, source: Source, secrets: Mapping[str, Secret], api_key: str | None
    ) -> World:
        configs = self._configs()
        rings = {config.access.secret for config in configs if config.access is not None}
        found = source.backends({config.name: config.port for config in configs})
        contents = {name: secret.data for name, secret in secrets.items()}
        externals = self._externals.hosts(configs, contents)
        endpoints = tuple(
            Served(config, found.get(config.name, ()), externals.get(config.name, ()))
            for config in configs
        )
        routers, router = source.routers()
        return World(
            endpoints=endpoints,
            api_key=api_key,
            healthy=self._health.usable & _contested(endpoints),
            keys=self._rings.of(secrets[name] for name in sorted(rings)),
            routers=routers,
            router=router,
        )

    def _tell_picker(self, world: World) -> None:
        """Write what the picker needs to know, which changes with every host's health."""
        self._health.follow(
            frozenset(
                host.key(name) for served in world.endpoints for name, host in served.members()
            )
        )
        keys = {
            served.config.name: picker_keys(served.config, world.keys, self._meter.exhausted)
            for served in world.endpoints
        }
        config = picker_config(
            world, usable=self._health.usable, known=self._health.known, keys=keys
        )
        write(self._publisher.layout.picker, config.to_json())

    async def _publish(self, world: World) -> None:
        choice = self._choice
        with self._metrics.publication():
            if world == self._world:
                answer = await self._publisher.acknowledged()
            else:
                self._rendered = render(world, self._site, self._rendered)
                answer = await self._publisher.publish(self._rendered.snapshot)
        self._world = world
        self._complete = answer.complete
        if answer.listener_refused:
            self._note_obstacle("; ".join(answer.rejected))
        elif answer.rejected:
            self._take_back(answer.rejected, choice)
        elif answer.complete:
            self._accept(choice.documents)
            self.obstacle = None
        self._metrics.observe(
            endpoints=len(world.endpoints),
            rejected=len(choice.refused),
            files=self._publisher.writes,
            validations=self._validator.runs,
        )

    def _note_obstacle(self, problem: str) -> None:
        if problem != self.obstacle:
            logger.error(f"Envoy cannot listen: {problem}")
        self.obstacle = problem

    def _take_back(self, details: tuple[str, ...], choice: Choice) -> None:
        """Return to the documents that ran before."""
        message = "; ".join(details)
        logger.error(f"Envoy refused what was published: {message}")
        self._metrics.refused_publication()
        for document in culprits(details, self._running, choice).values():
            if document.config is not None:
                self._validator.refuse(document.config, message)
        self.wake()

    def _judge(self, config: EndpointConfig) -> Verdict:
        if not self._validator.knows(config):
            return Verdict(pending=True)
        return Verdict(problem=self._validator.verdict(config))

    async def _validate(self, documents: Mapping[str, Document]) -> None:
        """Get a verdict on each document, beside publications: backends come and go meanwhile."""
        configs = [document.config for document in documents.values() if document.config]
        while True:
            try:
                await self._validator.validate(configs)
            except ValidationFailedError as error:
                logger.error(f"validation: {error}; again in {VALIDATION_PACE} s")  # noqa: TRY400
                await asyncio.sleep(VALIDATION_PACE)
            else:
                break
        self._validated = dict(documents)
        running = [document.config for document in self._running.values() if document.config]
        self._validator.forget_all_but([*configs, *running])
        self.wake()

    def _endpoint_state(
        self,
        name: str,
        served: Served | None,
        states: Mapping[HostKey, HostHealth | None],
        picked: PickedState | None,
    ) -> EndpointState:
        running = self._running.get(name)
        refused = self._choice.refused.get(name)
        return EndpointState(
            digest=running.digest if running else None,
            phase=EndpointPhase.REJECTED if refused else EndpointPhase.APPLIED,
            message=refused,
            access=self._access_problem(served) if served else None,
            backends=_backend_states(served, states, picked) if served else (),
        )

    def _access_problem(self, served: Served) -> str | None:
        """What is wrong with the Secret that holds an endpoint's keys."""
        access = served.config.access
        ring = (self._world or World()).keys.get(access.secret) if access else None
        if ring is None:
            return None
        return ring.closed or "; ".join(ring.problems) or None


def _contested(endpoints: Iterable[Served]) -> frozenset[HostKey]:
    """Hosts of endpoints whose requests are split: a revision without a healthy one counts as 0."""
    return frozenset(
        host.key(cluster)
        for served in endpoints
        if sum(revision.weight > 0 for revision in served.revisions) > 1
        for cluster, host in served.members()
    )


def _backend_states(
    served: Served,
    states: Mapping[HostKey, HostHealth | None],
    picked: PickedState | None,
) -> tuple[BackendState, ...]:
    clusters = [cluster_name(served.config.name, revision.name) for revision in served.revisions]

    def usable(backend: Backend) -> bool:
        found = (states.get((name, backend.address, backend.port)) for name in clusters)
        return any(health is not None and health.usable for health in found)

    def in_flight(backend: Backend) -> int | None:
        host = picked.hosts.get(joined(backend.address, backend.port)) if picked else None
        return host.in_flight if host is not None else None

    return tuple(
        BackendState(
            address=backend.address,
            port=backend.port,
            process=backend.process,
            pod=backend.pod,
            healthy=usable(backend),
            in_flight=in_flight(backend),
        )
        for backend in served.backends
    )
