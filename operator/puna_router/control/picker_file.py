"""picker.json: what the picker is told, from what is served and how Envoy finds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from puna_router.control.health import HostKey
from puna_router.control.world import Host, Served, World, cluster_name
from puna_router.picker.config import (
    PickerConfig,
    PickerEndpoint,
    PickerHost,
    PickerKey,
    PickerQueue,
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
    )


def _hosts(members: Iterable[tuple[str, Host]], usable: frozenset[HostKey]) -> Iterable[PickerHost]:
    """Each address once, with all clusters that it is in."""
    found: dict[tuple[str, int], list[tuple[str, Host]]] = {}
    for cluster, host in members:
        found.setdefault((host.address, host.port), []).append((cluster, host))
    for _, places in sorted(found.items()):
        _, host = places[0]
        yield PickerHost(
            address=host.joined,
            slots=host.slots,
            clusters=tuple(cluster for cluster, _ in places),
            healthy=any(host.key(cluster) in usable for cluster, _ in places),
            priority=host.priority,
        )
