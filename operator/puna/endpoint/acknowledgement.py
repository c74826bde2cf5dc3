"""Acknowledgement: whether the routers run the document that an endpoint wants them to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from puna.endpoint.observed import RouterObservation
from puna_router.config import EndpointPhase


def is_acknowledged(
    routers: Iterable[RouterObservation],
    digests: frozenset[str],
    *,
    since: datetime | None,
    now: datetime,
    timeout: timedelta,
) -> bool:
    """Return whether every ready router runs one of the documents.

    A router that does not answer holds things up for at most `timeout` after `since`.
    """
    overdue = since is not None and now - since > timeout
    return all(
        router.state.digest in digests
        if router.reachable and router.state is not None
        else overdue and not router.reachable
        for router in routers
    )


def rejection(routers: Iterable[RouterObservation]) -> str | None:
    """Return why a router refused the endpoint's document, if one did."""
    return next(
        (
            f"router {router.pod}: {router.state.message or 'no reason given'}"
            for router in sorted(routers, key=lambda router: router.pod)
            if router.state is not None and router.state.phase is EndpointPhase.REJECTED
        ),
        None,
    )


def runs(routers: Iterable[RouterObservation], digests: frozenset[str]) -> bool:
    """Return whether all routers that answer run one of the documents."""
    return all(
        router.state is not None and router.state.digest in digests
        for router in routers
        if router.reachable
    )


def serves(
    routers: tuple[RouterObservation, ...], digests: frozenset[str], *, backends: bool = True
) -> bool:
    """Return whether all routers that answer run one of the documents and see a healthy backend.

    Without `backends` none is looked for: an endpoint may have external servers alone.
    """
    return runs(routers, digests) and all(
        any(backend.healthy for backend in router.state.backends)
        for router in routers
        if backends and router.state is not None
    )
