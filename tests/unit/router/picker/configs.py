"""picker.json documents for tests."""

from __future__ import annotations

from typing import Any

from puna_router.picker.config import PickerConfig, PickerEndpoint, PickerHost, PickerQueue

CLUSTER = "chat-a"


def host(address: str, slots: int = 1, *clusters: str, **more: Any) -> PickerHost:
    return PickerHost(address, slots, clusters or (CLUSTER,), **more)


def chat(*hosts: PickerHost, depth: int = 32, timeout: float = 60, **more: Any) -> PickerEndpoint:
    clusters = tuple(sorted({name for found in hosts for name in found.clusters})) or (CLUSTER,)
    given = {"clusters": clusters, "queue": PickerQueue(depth, timeout), **more}
    return PickerEndpoint(hosts=hosts, **given)


def config(*hosts: PickerHost, share: int = 1, index: int = 0, **more: Any) -> PickerConfig:
    """A document with one endpoint, `chat`."""
    return PickerConfig({"chat": chat(*hosts, **more)}, share, index)
