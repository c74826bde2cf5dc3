"""What to do about a Pod next: `decide` is the whole life of a Pod on this node. Pure.

The shell performs the actions, turns what happened into facts (`facts.py`) and asks again; nothing
here or there remembers anything else. A Pod goes: refused or prepared, init containers one after
the other, containers together, probes, restarts; and at its end drain, SIGTERM, SIGKILL, its
object's deletion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

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
from puna_node.admission import Policy, find_profile, refusal
from puna_node.backoff import restart_delay
from puna_node.config import REASON_NOT_ALLOWED
from puna_node.facts import ContainerFacts, Deletion, Doom, Exit, PodFacts, Stop, begun
from puna_node.manifest import (
    Manifest,
    all_containers,
    init_containers,
    main_containers,
)
from puna_node.probe import LIVENESS, PROBE_FIELDS, READINESS, STARTUP, begin, probe_spec

DEFAULT_GRACE: Final = 30.0
FORCED_GRACE: Final = 2.0
"""Seconds that a process gets whose Pod was deleted by force."""
KILL_RESERVE: Final = 5.0
"""Seconds of the grace period, at most a quarter of it, kept for the time after SIGTERM."""
KILL_AGAIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class PodPlan:
    """The next facts, what to do, what to report, and when to look again if nothing happens."""

    facts: PodFacts
    actions: tuple[Action, ...] = ()
    notices: tuple[Notice, ...] = ()
    check_after: timedelta | None = None


def decide(pod: Manifest, facts: PodFacts, policy: Policy, now: datetime) -> PodPlan:
    """Plan for a Pod bound to this node."""
    before = facts.refused
    facts = replace(
        facts, deletion=deletion_of(pod, facts, now), refused=_refused(pod, facts, policy)
    )
    if facts.outcome is None and facts.doom is None:
        facts = replace(facts, doom=_deadline_exceeded(pod, facts, now))
    facts, notices = _begin_stops(pod, facts, policy, now)
    if facts.refused is not None and facts.refused != before:
        notices.append(Notice(True, REASON_NOT_ALLOWED, facts.refused))  # noqa: FBT003
    actions: list[Action] = []
    wakes: list[datetime] = []

    facts = _stop_steps(facts, now, actions, wakes)
    if _ending(facts):
        if not _any_alive(facts) and facts.deletion is not None:
            actions.append(Finalize())
    elif facts.outcome is None and facts.refused is None:
        facts = _move_on(pod, facts, now, actions, wakes)
        facts = _probe_steps(pod, facts, now, actions, wakes)
    facts = replace(facts, outcome=outcome(pod, facts))
    if facts.deletion is None:
        wakes.extend(_deadline(pod, facts))
    check_after = max(min(wakes) - now, timedelta(0)) if wakes else None
    return PodPlan(facts, tuple(actions), tuple(notices), check_after)


def deletion_of(pod: Manifest, facts: PodFacts, now: datetime) -> Deletion | None:
    """Deletion of the Pod, counted from when this node learned of it; it may only get shorter."""
    if facts.deletion is not None and facts.deletion.forced:
        return facts.deletion
    metadata = pod["metadata"]
    if not metadata.get("deletionTimestamp"):
        return facts.deletion
    grace = float(metadata.get("deletionGracePeriodSeconds") or 0)
    if facts.deletion is None:
        return Deletion(now, grace)
    return replace(facts.deletion, grace=min(grace, facts.deletion.grace))


def outcome(pod: Manifest, facts: PodFacts) -> str | None:
    """Succeeded or Failed where the Pod is done for good, else None."""
    if facts.outcome is not None:
        return facts.outcome
    if facts.doom is not None:
        return None if _any_alive(facts) else "Failed"
    if facts.deletion is not None:
        return None if _any_alive(facts) else _outcome_of_deleted(pod, facts)
    policy = pod["spec"].get("restartPolicy", "Always")
    for container in init_containers(pod):
        how = _final_exit(facts.container(container["name"]))
        if how is not None and how.code != 0 and policy == "Never":
            return "Failed"
    if policy == "Always" or not initialized(pod, facts):
        return None
    exits = [_final_exit(facts.container(c["name"])) for c in main_containers(pod)]
    if any(how is None for how in exits):
        return None
    failed = any(how is not None and how.code != 0 for how in exits)
    if policy == "OnFailure":
        return None if failed else "Succeeded"
    return "Failed" if failed else "Succeeded"


def initialized(pod: Manifest, facts: PodFacts) -> bool:
    """Whether every init container has ended well."""
    return all(
        _succeeded(facts.container(container["name"])) for container in init_containers(pod)
    ) or any(facts.container(container["name"]).attempts for container in main_containers(pod))


def is_started(container: Manifest, facts: ContainerFacts) -> bool:
    """Whether a container runs and its startup probe, if it has one, has passed."""
    if facts.running is None:
        return False
    if PROBE_FIELDS[STARTUP] not in container:
        return True
    probing = facts.probes.get(STARTUP)
    return probing is not None and probing.passed is True


def is_ready(container: Manifest, facts: ContainerFacts) -> bool:
    """Whether a container runs, is started, and its readiness probe, if any, passes."""
    if not is_started(container, facts):
        return False
    if PROBE_FIELDS[READINESS] not in container:
        return True
    probing = facts.probes.get(READINESS)
    return probing is not None and probing.passed is True


def restart_at(facts: ContainerFacts) -> datetime | None:
    """When an ended container may start again."""
    if facts.exit is None:
        return None
    return facts.exit.finished_at + restart_delay(facts.in_a_row)


def may_restart(pod: Manifest, how: Exit, *, init: bool) -> bool:
    """Whether the restart policy starts a container again that ended so."""
    policy = pod["spec"].get("restartPolicy", "Always")
    if policy == "Never":
        return False
    if init or policy == "OnFailure":
        return how.code != 0
    return True


def grace_seconds(pod: Manifest) -> float:
    """Grace period of the Pod's containers, seconds."""
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if grace is None else float(grace)


def _refused(pod: Manifest, facts: PodFacts, policy: Policy) -> str | None:
    return None if facts.outcome is not None else refusal(pod, policy)


def _deadline(pod: Manifest, facts: PodFacts) -> Iterator[datetime]:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    if seconds is not None and facts.outcome is None and facts.doom is None:
        yield facts.started_at + timedelta(seconds=float(seconds))


def _deadline_exceeded(pod: Manifest, facts: PodFacts, now: datetime) -> Doom | None:
    if any(deadline <= now for deadline in _deadline(pod, facts)):
        return Doom("DeadlineExceeded", "Pod was active on the node longer than its deadline")
    return None


def _outcome_of_deleted(pod: Manifest, facts: PodFacts) -> str:
    """As the kubelet has it: a Job counts a Pod that was deleted while it ran as failed."""
    well = all(_succeeded(facts.container(c["name"])) for c in all_containers(pod))
    return "Succeeded" if well else "Failed"


def _ending(facts: PodFacts) -> bool:
    return facts.deletion is not None or facts.doom is not None


def _any_alive(facts: PodFacts) -> bool:
    return any(c.running is not None or c.begun for c in facts.containers.values())


def _begin_stops(
    pod: Manifest, facts: PodFacts, policy: Policy, now: datetime
) -> tuple[PodFacts, list[Notice]]:
    """Mark the containers that have to stop, and shorten the grace of those that are stopping."""
    notices = []
    for container in all_containers(pod):
        state = facts.container(container["name"])
        stop = _reason_to_stop(pod, container, facts, policy, now)
        if state.running is None or stop is None:
            continue
        if state.stop is None:
            notices.append(Notice(False, "Killing", f"{stop.reason}: {container['name']}"))  # noqa: FBT003
        else:
            # A deletion may overtake a restart, or come a second time with less grace.
            ends = min(
                state.stop.since + timedelta(seconds=state.stop.grace),
                stop.since + timedelta(seconds=stop.grace),
            )
            stop = replace(state.stop, grace=(ends - state.stop.since).total_seconds())
        facts = facts.with_container(container["name"], replace(state, stop=stop))
    return facts, notices


def _reason_to_stop(
    pod: Manifest, container: Manifest, facts: PodFacts, policy: Policy, now: datetime
) -> Stop | None:
    state = facts.container(container["name"])
    profile = find_profile(container, policy.profiles)
    drains = profile is not None and profile.drain_slots
    if facts.deletion is not None:
        deletion = facts.deletion
        drain = drains and not deletion.forced
        return Stop(deletion.since, deletion.grace, "Stopping container", drain)
    if facts.doom is not None:
        return Stop(now, grace_seconds(pod), facts.doom.reason)
    if facts.refused is not None:
        return Stop(now, grace_seconds(pod), "Stopping container that is not allowed here")
    for kind in (STARTUP, LIVENESS):
        probing = state.probes.get(kind)
        if probing is not None and probing.passed is False:
            field = container.get(PROBE_FIELDS[kind]) or {}
            grace = float(field.get("terminationGracePeriodSeconds") or grace_seconds(pod))
            return Stop(now, grace, f"Container failed its {kind} probe, will be restarted")
    return None


def _stop_steps(
    facts: PodFacts, now: datetime, actions: list[Action], wakes: list[datetime]
) -> PodFacts:
    for name, state in facts.containers.items():
        stop = state.stop
        if stop is None or state.running is None:
            continue
        deadline = stop.since + timedelta(seconds=stop.grace)
        reserve = timedelta(seconds=min(KILL_RESERVE, stop.grace / 4))
        if now >= deadline:
            if stop.killed_at is None or now >= stop.killed_at + KILL_AGAIN:
                actions.append(Kill(name))
                stop = replace(stop, killed_at=now)
            wakes.append(now + KILL_AGAIN)
        elif stop.terminated:
            wakes.append(deadline)
        elif stop.drain and not stop.drained and now < deadline - reserve:
            actions.append(Drain(name))
            wakes.append(deadline - reserve)
        else:
            actions.append(Terminate(name))
            stop = replace(stop, terminated=True)
            wakes.append(deadline)
        facts = facts.with_container(name, replace(state, stop=stop))
    return facts


def _move_on(
    pod: Manifest, facts: PodFacts, now: datetime, actions: list[Action], wakes: list[datetime]
) -> PodFacts:
    """Prepare the Pod, then start what should run now."""
    if not facts.prepared:
        if facts.hold is not None and now < facts.hold.until:
            wakes.append(facts.hold.until)
        else:
            actions.append(Prepare())
        return facts
    for container, init in _wanted(pod, facts):
        name = container["name"]
        state = facts.container(name)
        if state.running is not None or state.begun:
            continue
        if state.exit is not None and not may_restart(pod, state.exit, init=init):
            continue
        due = [at for at in (restart_at(state), state.hold.until if state.hold else None) if at]
        if due and now < max(due):
            wakes.append(max(due))
            continue
        facts = facts.with_container(name, begun(state))
        actions.append(Start(name))
    return facts


def _wanted(pod: Manifest, facts: PodFacts) -> Iterator[tuple[Manifest, bool]]:
    """Containers that should run now: the first init container that is not done, or the others."""
    if not initialized(pod, facts):
        for container in init_containers(pod):
            if not _succeeded(facts.container(container["name"])):
                yield container, True
                return
    for container in main_containers(pod):
        yield container, False


def _probe_steps(
    pod: Manifest, facts: PodFacts, now: datetime, actions: list[Action], wakes: list[datetime]
) -> PodFacts:
    for container in main_containers(pod):
        state = facts.container(container["name"])
        if state.running is None or state.stop is not None:
            continue
        probes = dict(state.probes)
        for kind in _open_probes(container, state):
            probing = probes.get(kind)
            if probing is None:
                spec = probe_spec(kind, container[PROBE_FIELDS[kind]])
                probing = probes[kind] = begin(spec, state.running.started_at, now)
            if now >= probing.next_at:
                actions.append(Probe(container["name"], kind))
            else:
                wakes.append(probing.next_at)
        facts = facts.with_container(container["name"], replace(state, probes=probes))
    return facts


def _open_probes(container: Manifest, state: ContainerFacts) -> Iterator[str]:
    """Probes that may run: the startup probe alone until it has passed, then the others."""
    if not is_started(container, state):
        yield STARTUP
        return
    for kind in (READINESS, LIVENESS):
        if PROBE_FIELDS[kind] in container:
            yield kind


def _succeeded(state: ContainerFacts) -> bool:
    how = _final_exit(state)
    return how is not None and how.code == 0


def _final_exit(state: ContainerFacts) -> Exit | None:
    """Exit of the latest attempt, None while one runs or is about to."""
    if state.running is not None or state.begun or state.exit is None:
        return None
    return state.exit
