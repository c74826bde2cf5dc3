"""Observation of routers: which are ready, what each serves, and what they have counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from puna.cluster.prometheus import Prometheus
from puna.context import Context
from puna.core.plan import Manifest, Ref
from puna.core.readiness import is_ready
from puna.endpoint.observed import RouterObservation
from puna.endpoint.samples import Reading
from puna.endpoint.scraped import Answer, readings, samples_query
from puna.triggers import endpoint_key, router_pods


async def observe_routers(
    context: Context, ref: Ref, *, asked: bool, counting: bool
) -> tuple[tuple[RouterObservation, ...], str | None]:
    """Return the ready routers, with what they say of an endpoint if they are to be asked.

    With `counting` also what they have counted of it, else why that is not known.
    """
    ready = sorted(
        (pod for pod in router_pods(context.store, ref.namespace) if is_ready(pod)),
        key=_name,
    )
    if not asked:
        return tuple(RouterObservation(_name(pod), reachable=True) for pod in ready), None

    def late() -> None:
        context.wakeups.wake(endpoint_key(ref))

    counted = asyncio.create_task(_counted(context, ref, ready, late)) if counting else None

    async def ask(pod: Manifest) -> RouterObservation:
        state = await context.telemetry.state(pod["status"]["podIP"], late)
        found, _ = await counted if counted is not None else ({}, None)
        return RouterObservation(
            _name(pod),
            reachable=state is not None,
            state=None if state is None else state.endpoints.get(ref.name),
            reading=found.get(_name(pod)),
        )

    routers = tuple(await asyncio.gather(*map(ask, ready)))
    return routers, None if counted is None else (await counted)[1]


async def _counted(
    context: Context, ref: Ref, ready: Iterable[Manifest], late: Callable[[], None]
) -> tuple[Mapping[str, Reading], str | None]:
    """Return what routers have counted, by Pod, or why Prometheus does not tell."""
    if context.prometheus is not None:
        return await _scraped(context.prometheus, ref, late)
    found = await asyncio.gather(*(_own(context, ref, pod, late) for pod in ready))
    return {reading.router: reading for reading in found if reading is not None}, None


async def _own(
    context: Context, ref: Ref, pod: Manifest, late: Callable[[], None]
) -> Reading | None:
    """Return what a router itself says."""
    found = await context.telemetry.samples(pod["status"]["podIP"], ref.name, late)
    if found is None:
        return None
    samples, age = found
    started = context.clock() - timedelta(seconds=samples.uptime_seconds + age)
    return Reading(_name(pod), started, samples.revisions, samples.start)


async def _scraped(
    prometheus: Prometheus, ref: Ref, late: Callable[[], None]
) -> tuple[Mapping[str, Reading], str | None]:
    page = await prometheus.query(samples_query(ref), Answer, late)
    who = f"Prometheus at {prometheus.name}"
    if page is None:
        return {}, f"{who} has not answered yet"
    if page.document is None:
        return {}, f"{who} does not answer: {page.problem}"
    return readings(page.document, ref), f"{who} has no answer to {samples_query(ref)}"


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])
