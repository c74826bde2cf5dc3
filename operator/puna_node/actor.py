"""One actor per Pod: asks `decide`, performs what it says, turns what happened into facts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from puna_node import processes
from puna_node.actions import (
    Action,
    Drain,
    Finalize,
    Kill,
    Notice,
    Prepare,
    Probe,
    Start,
    Terminate,
)
from puna_node.addresses import bind_problem
from puna_node.admission import find_profile
from puna_node.api import ApiError, ApiUnreachableError
from puna_node.config import REASON_NOT_ALLOWED, REASON_PORT_IN_USE, Profile
from puna_node.context import Context
from puna_node.documents import DocumentError, localized
from puna_node.drain import wait_until_idle
from puna_node.facts import (
    ContainerFacts,
    Deletion,
    Exit,
    PodFacts,
    durable,
    ended,
    held,
    not_started,
    started,
)
from puna_node.fields import Downward, UnknownFieldError
from puna_node.launch import Folders, Launch, translate
from puna_node.manifest import Manifest, all_containers, pod_key
from puna_node.pod import FORCED_GRACE, PodPlan, decide
from puna_node.preparation import Prepared, prepare
from puna_node.probe import PROBE_FIELDS, observe, probe_spec
from puna_node.prober import ProbeFailure, run_probe
from puna_node.processes import Attempt
from puna_node.reach import Reach, reach_of, refused
from puna_node.shims import ShimError
from puna_node.sources import MissingSourceError
from puna_node.state import PodFolder, StoredPod
from puna_node.status import pod_status
from puna_node.status_writer import StatusWriter
from puna_node.termination import with_message
from puna_node.variables import RefusedVariableError
from puna_node.volume_files import content_folders
from puna_node.volume_store import VolumeError, own

LOG: Final = logging.getLogger(__name__)
REASON_CONFIG: Final = "CreateContainerConfigError"
REASON_CREATE: Final = "CreateContainerError"
REFRESH_SECONDS: Final = 30.0
"""How often configMap and secret volumes and tokens are brought up to date."""
FINALIZE_RETRY_SECONDS: Final = 1.0


class StartRefusedError(Exception):
    """A container that cannot be started now: reason and message of its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class PodActor:
    """Runs one Pod from its binding to the deletion of its object."""

    def __init__(self, pod: Manifest, facts: PodFacts, folder: PodFolder, context: Context) -> None:
        self.key = pod_key(pod)
        self.pod, self.facts, self.folder = pod, facts, folder
        self._context = context
        self._wake = asyncio.Event()
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._attempts: dict[str, Attempt] = {}
        self._launches: dict[str, Launch] = {}
        self._prepared: Prepared | None = None
        self._writer = StatusWriter(context.api, pod)
        self._saved: StoredPod | None = None
        self._finished = False

    def update(self, pod: Manifest) -> None:
        """Take a newer version of the Pod."""
        self.pod = pod
        self._wake.set()

    def forget(self) -> None:
        """The object is gone though nobody ended the Pod here: end its processes."""
        if self.facts.deletion is None or not self.facts.deletion.forced:
            deletion = Deletion(datetime.now(UTC), FORCED_GRACE, forced=True)
            self.facts = replace(self.facts, deletion=deletion)
        self._wake.set()

    def attempt_folder(self, container: str, *, previous: bool) -> Path | None:
        """Folder of the latest attempt of a container, or of the one before it."""
        number = self.facts.container(container).attempts - (1 if previous else 0)
        return self.folder.attempt(container, number) if number > 0 else None

    def is_running(self, container: str, folder: Path) -> bool:
        """Whether the attempt in a folder still runs."""
        running = self.facts.container(container).running
        return running is not None and folder == self.folder.attempt(container, running.attempt)

    async def run(self) -> None:
        """Act until the Pod is gone; cancelled, it leaves the processes alone."""
        try:
            self._spawn("writer", self._writer.run())
            await self._adopt()
            if self.facts.prepared:
                self._spawn("refresh", self._refresh(at_once=True))
            while not self._finished:
                await self._step()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _step(self) -> None:
        self._wake.clear()
        now = datetime.now(UTC)
        plan: PodPlan = decide(self.pod, self.facts, self._context.policy, now)
        self.facts = plan.facts
        self._save()
        if not _is_fresh(plan):
            self._publish(now)
        for notice in plan.notices:
            self._emit(notice)
        for action in plan.actions:
            await self._perform(action)
        if self._finished or any(isinstance(a, Prepare | Start) for a in plan.actions):
            return
        delay = plan.check_after.total_seconds() if plan.check_after is not None else None
        try:
            await asyncio.wait_for(self._wake.wait(), delay)
        except TimeoutError:
            return

    async def _perform(self, action: Action) -> None:
        match action:
            case Prepare():
                await self._prepare()
            case Start(container):
                await self._start(container)
            case Probe(container, kind):
                self._spawn(action, self._probe(container, kind))
            case Drain(container):
                self._spawn(action, self._drain(container))
            case Terminate(container):
                processes.terminate(self._attempts[container])
            case Kill(container):
                processes.kill(self._attempts[container])
            case Finalize():
                await self._finalize()

    def _spawn(self, name: object, work: Coroutine[Any, Any, None]) -> None:
        """Run work beside the actor, once at a time for each name."""
        if name in self._tasks:
            work.close()
            return
        task = asyncio.create_task(work, name=f"{self.key} {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._done(name, done))

    def _done(self, name: object, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("%s: %s failed", self.key, name, exc_info=error)

    # Preparing

    async def _prepare(self) -> None:
        try:
            self._prepared = await self._prepare_once()
        except StartRefusedError as refused:
            before = self.facts.hold
            hold = held(before, refused.reason, refused.message, datetime.now(UTC))
            self.facts = replace(self.facts, hold=hold)
            if before is None or before.message != hold.message:
                self._emit(Notice(True, "FailedMount", refused.message))  # noqa: FBT003
            return
        self.facts = replace(self.facts, prepared=True, hold=None)
        self._spawn("refresh", self._refresh(at_once=False))

    async def _prepare_once(self) -> Prepared:
        try:
            return await prepare(
                self.pod, self.folder, self.facts.address, self._context, self._prepared
            )
        except (MissingSourceError, UnknownFieldError, VolumeError) as error:
            raise StartRefusedError(REASON_CONFIG, str(error)) from error
        except (ApiError, ApiUnreachableError) as error:
            raise StartRefusedError(REASON_CONFIG, f"API server: {error}") from error
        except OSError as error:
            raise StartRefusedError(REASON_CREATE, str(error)) from error

    async def _refresh(self, *, at_once: bool) -> None:
        """Keep volumes and tokens up to date; what fails is tried again the next time."""
        while True:
            if not at_once:
                await asyncio.sleep(REFRESH_SECONDS)
            at_once = False
            try:
                self._prepared = await self._prepare_once()
            except StartRefusedError as refused:
                LOG.info("%s: volumes not refreshed: %s", self.key, refused.message)

    # Starting

    async def _start(self, name: str) -> None:
        state = self.facts.container(name)
        try:
            await self._start_attempt(name, state)
        except (StartRefusedError, ShimError) as refused:
            reason = refused.reason if isinstance(refused, StartRefusedError) else REASON_CREATE
            now = datetime.now(UTC)
            self._set(name, not_started(state, reason, str(refused), now))
            if state.hold is None or state.hold.message != str(refused):
                self._emit(Notice(True, "Failed", f"{reason}: {refused}"))  # noqa: FBT003

    async def _start_attempt(self, name: str, state: ContainerFacts) -> None:
        if self._prepared is None:
            self._prepared = await self._prepare_once()
        launch = self._launch(name, state.attempts, self._prepared)
        self._launches[name] = launch
        folder = self.folder.attempt(name, state.attempts)
        try:
            # What a start in vain left there is not this attempt's.
            self.folder.prune_attempts(name, state.attempts)
            mode = 0o700 if self._context.user is None else 0o711
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
            log = self.folder.termination_log(name, state.attempts)
            log.write_bytes(b"")
            own(log, self._context.user)
            attempt, running = await processes.start(
                launch,
                folder,
                state.attempts,
                self._context.shims,
                user=self._context.user,
                kept=self._context.kept,
            )
        except OSError as error:
            raise StartRefusedError(REASON_CREATE, str(error)) from error
        self._attempts[name] = attempt
        if running is not None:
            self._set(name, started(self.facts.container(name), running))
            self._emit(Notice(False, "Started", f"Started container {name}"))  # noqa: FBT003
        self._spawn(("wait", name), self._wait(name, attempt))

    def _launch(self, name: str, number: int, prepared: Prepared) -> Launch:
        """Process of an attempt, after the last checks before it is started.

        Raises:
            StartRefusedError: something is missing, not allowed, or a port is taken.
        """
        container = self._container(name)
        profile = find_profile(container, self._context.policy.profiles)
        if profile is None:
            raise StartRefusedError(REASON_NOT_ALLOWED, "no profile of this node runs the image")
        downward = Downward(
            self.pod, self.facts.address, self._context.node_address, self._context.allocatable
        )
        folders = Folders(
            home=str(self.folder.home(name)),
            volumes=prepared.volumes,
            # By its full path: it also tells which agent a process belongs to.
            termination_log=str(self.folder.termination_log(name, number).resolve()),
        )
        try:
            launch = translate(
                container,
                profile=profile,
                folders=folders,
                sources=prepared.sources,
                downward=downward,
                api=self._context.endpoint,
            )
        except (MissingSourceError, UnknownFieldError) as error:
            # Read anew when it is tried again: somebody may have made it by then.
            self._prepared = None
            raise StartRefusedError(REASON_CONFIG, str(error)) from error
        except RefusedVariableError as error:
            raise StartRefusedError(REASON_NOT_ALLOWED, str(error)) from error
        policy = self._context.policy
        reach = reach_of(
            self.pod,
            container,
            launch,
            folders=folders,
            host_paths=policy.host_paths,
            networks=policy.networks,
        )
        problem = refused(launch.argv[len(profile.run) :], profile, reach)
        if problem is not None:
            raise StartRefusedError(REASON_NOT_ALLOWED, problem)
        launch = self._with_documents(launch, profile, reach, folders)
        for port in launch.ports:
            taken = bind_problem(self.facts.address, port)
            if taken is not None:
                text = f"port {port} of {self.facts.address} cannot be used: {taken.strerror}"
                raise StartRefusedError(REASON_PORT_IN_USE, text)
        return launch

    def _with_documents(
        self, launch: Launch, profile: Profile, reach: Reach, folders: Folders
    ) -> Launch:
        """Process whose documents name paths of this host.

        Raises:
            StartRefusedError: a document may not be given to it.
        """
        if not profile.path_members:
            return launch
        own = len(profile.run)
        try:
            arguments = localized(
                launch.argv[own:],
                members=frozenset(profile.path_members),
                mounts=launch.mounts,
                content=content_folders(self.pod, folders.volumes),
                reach=reach.folders,
                home=Path(folders.home),
            )
        except DocumentError as error:
            raise StartRefusedError(REASON_NOT_ALLOWED, str(error)) from error
        return replace(launch, argv=(*launch.argv[:own], *arguments))

    async def _wait(self, name: str, attempt: Attempt) -> None:
        how = await processes.wait(attempt)
        self._ended(name, how)

    def _ended(self, name: str, how: Exit) -> None:
        container = self._container(name)
        folder = self.folder.attempt(name, how.attempt)
        how = with_message(container, how, folder)
        before = self.facts.container(name)
        self._attempts.pop(name, None)
        self._set(name, ended(before, how))
        if how.code != 0 and before.stop is None:
            text = how.message.strip().splitlines()[-1:] or [f"exit code {how.code}"]
            self._emit(Notice(True, "BackOff", f"Container {name} ended: {text[0]}"))  # noqa: FBT003

    # Running

    async def _probe(self, name: str, kind: str) -> None:
        container = self._container(name)
        running, launch = self.facts.container(name).running, self._launches.get(name)
        field = container[PROBE_FIELDS[kind]]
        spec = probe_spec(kind, field)
        failure: str | None = None
        if launch is None:
            launch = self._launches[name] = self._launch_of_adopted(name)
        try:
            await run_probe(
                field,
                container=container,
                launch=launch,
                address=self.facts.address,
                seconds=spec.timeout.total_seconds(),
                user=self._context.user,
            )
        except ProbeFailure as error:
            failure = str(error)
        state = self.facts.container(name)
        probing = state.probes.get(kind)
        if state.running != running or running is None or probing is None:
            return
        after = observe(probing, spec, success=failure is None, now=datetime.now(UTC))
        self._set(name, replace(state, probes={**state.probes, kind: after}))
        if failure is not None and after.failures > probing.failures:
            self._emit(Notice(True, "Unhealthy", f"{kind.title()} probe failed: {failure}"))  # noqa: FBT003

    async def _drain(self, name: str) -> None:
        launch = self._launches.get(name) or self._launch_of_adopted(name)
        await wait_until_idle(launch, self.facts.address)
        state = self.facts.container(name)
        if state.stop is not None:
            self._set(name, replace(state, stop=replace(state.stop, drained=True)))

    def _launch_of_adopted(self, name: str) -> Launch:
        """Command line of a process that an earlier agent started, as its shim recorded it."""
        state = self.facts.container(name)
        argv = processes.recorded_argv(self.folder.attempt(name, state.attempts))
        home = str(self.folder.home(name))
        return Launch(tuple(argv), {"PATH": "/usr/bin:/bin", "HOME": home}, home, (), ())

    # Ending

    async def _finalize(self) -> None:
        deletion = self.facts.deletion
        if deletion is not None and not deletion.forced:
            self._publish(datetime.now(UTC))
            await self._writer.flush()
            try:
                await self._context.api.delete_pod(self.key)
            except (ApiError, ApiUnreachableError) as error:
                LOG.warning("%s not deleted: %s", self.key, error)
                await asyncio.sleep(FINALIZE_RETRY_SECONDS)
                return
        self._finished = True
        self.folder.remove()
        self._context.addresses.free(self.key.uid)

    # After a restart of the agent

    async def _adopt(self) -> None:
        """Find the processes that an earlier agent started."""
        for container in all_containers(self.pod):
            name = container["name"]
            state = self.facts.container(name)
            known = state.exit is not None and state.exit.attempt == state.attempts
            if not state.attempts or (known and state.running is None and not state.begun):
                continue
            found = processes.find(self.folder.attempt(name, state.attempts), state.attempts)
            if isinstance(found, Exit):
                self._ended(name, found)
            elif found is None:
                # It was about to be started and never was.
                self._set(
                    name, replace(state, begun=False, running=None, attempts=state.attempts - 1)
                )
            else:
                attempt, running = await processes.adopt(found)
                if running is not None:
                    self._attempts[name] = attempt
                    stop = state.stop
                    self._set(name, replace(started(state, running), stop=stop))
                    self._spawn(("wait", name), self._wait(name, attempt))
                else:
                    self._ended(name, await processes.wait(attempt))

    # Helpers

    def _container(self, name: str) -> Manifest:
        return next(c for c in all_containers(self.pod) if c["name"] == name)

    def _set(self, name: str, state: ContainerFacts) -> None:
        self.facts = self.facts.with_container(name, state)
        self._wake.set()

    def _emit(self, notice: Notice) -> None:
        self._context.events.emit(self.key, notice)

    def _publish(self, now: datetime) -> None:
        if self.facts.deletion is not None and self.facts.deletion.forced:
            return
        status = pod_status(self.pod, self.facts, node_address=self._context.node_address, now=now)
        self._writer.publish(status)

    def _save(self) -> None:
        stored = StoredPod(self.key, self.pod, durable(self.facts))
        if stored != self._saved:
            self.folder.save(stored)
            self._saved = stored


def _is_fresh(plan: PodPlan) -> bool:
    """Whether something starts for the first time: its status is told once it has."""
    return any(
        isinstance(action, Prepare)
        or (isinstance(action, Start) and plan.facts.container(action.container).attempts == 1)
        for action in plan.actions
    )


def new_facts(pod: Manifest, context: Context, now: datetime) -> PodFacts:
    """Facts of a Pod that has just been bound to this node."""
    address = context.addresses.take(
        pod["metadata"]["uid"], host_network=bool(pod["spec"].get("hostNetwork"))
    )
    return PodFacts(address=address, started_at=now)
