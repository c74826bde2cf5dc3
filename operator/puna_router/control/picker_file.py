"""picker.json: what the picker is told, from what is served and how Envoy finds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from puna_router.control.health import HostKey
from puna_router.control.world import Host, Served, World, cluster_name, shadowed
from puna_router.picker.config import (
    PickerConfig,
    PickerEndpoint,
    PickerHost,
    PickerKey,
    PickerQueue,
    PickerShadow,
    Strategy,
)


def picker_config(
    world: World,
    *,
    usable: frozenset[HostKey],
    known: frozenset[HostKey],
    keys: Mapping[str, Mapping[str, PickerKey]],
) -> PickerConfig:
    """What the picker is told.

    Envoy sends requests to the hosts in `usable`, and has looked at those in `known`; `keys` are
    limits by endpoint and key.
    """
    return PickerConfig(
        endpoints={
            served.config.name: _endpoint(
                served, usable=usable, known=known, keys=keys.get(served.config.name, {})
            )
            for served in world.endpoints
        },
        share=world.routers,
        share_index=world.router,
    )


def _endpoint(
    served: Served,
    *,
    usable: frozenset[HostKey],
    known: frozenset[HostKey],
    keys: Mapping[str, PickerKey],
) -> PickerEndpoint:
    config = served.config
    members = list(served.members())
    wanted = sum(revision.expected for revision in served.revisions if revision.weight > 0)
    # A host that Envoy has not looked at yet will be known in a moment: it is worth waiting for.
    unseen = {
        (host.address, host.port) for cluster, host in members if host.key(cluster) not in known
    }
    return PickerEndpoint(
        clusters=tuple(cluster_name(config.name, revision.name) for revision in served.revisions),
        hosts=tuple(_hosts(members, usable)),
        strategy=Strategy(config.strategy),
        queue=PickerQueue(config.queue.max_depth, config.queue.timeout_seconds),
        expected=max(wanted, len(unseen)),
        keys=keys,
        shadow=_shadow(served),
    )


def _shadow(served: Served) -> PickerShadow | None:
    """Copies go to a revision's own servers; where requests do too, a slot of each is for those.

    An external server is everybody's: how it answers says nothing about the revision.
    """
    revision = shadowed(served.config)
    if revision is None:
        return None
    shared = (other.weight > 0 for other in served.revisions if other.process == revision.process)
    return PickerShadow(
        cluster=cluster_name(served.config.name, revision.name),
        addresses=tuple(host.joined for host in served.hosts(revision) if host.external is None),
        spare=1 if any(shared) else 0,
    )


def _hosts(members: Iterable[tuple[str, Host]], usable: frozenset[HostKey]) -> Iterable[PickerHost]:
    """Each address once, with the clusters in which Envoy sends requests there, else with all."""
    found: dict[tuple[str, int], list[tuple[str, Host]]] = {}
    for cluster, host in members:
        found.setdefault((host.address, host.port), []).append((cluster, host))
    for _, places in sorted(found.items()):
        _, host = places[0]
        clusters = tuple(cluster for cluster, _ in places)
        # A cluster that is new looks at hosts for itself: until it has, its requests go to others.
        seen = tuple(cluster for cluster in clusters if host.key(cluster) in usable)
        yield PickerHost(
            address=host.joined,
            slots=host.slots,
            clusters=seen or clusters,
            healthy=bool(seen),
            priority=host.priority,
        )
