"""Ports and choices that the next `puna up` works with. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from puna_cli.cluster.ports import DEFAULT_NAME, choose, choose_front, choose_ports
from puna_cli.cluster.state import ClusterState

PORT_OWNERS: Final = {
    "etcd": "etcd",
    "etcd_peer": "etcd",
    "api": "apiserver",
    "agent": "agent",
    "operator": "operator",
}
"""Which program listens on which internal port."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the user says on the command line; None where nothing was said."""

    name: str = DEFAULT_NAME
    port: int | None = None
    accelerator: str | None = None
    models_folders: tuple[str, ...] = ()
    llama_server: str | None = None


def settle(
    stored: ClusterState | None,
    options: UpOptions,
    *,
    running: Collection[str],
    is_free: Callable[[int], bool],
    shuffled: Iterable[int],
    default_accelerator: str,
    default_models_folder: str,
) -> ClusterState:
    """The cluster as it shall be: as remembered, but for what is asked for or taken by others.

    Raises:
        CommandError: the port asked for is taken.
    """
    if stored is None:
        return ClusterState(
            name=options.name,
            ports=choose_ports(is_free, shuffled, options.port, name=options.name),
            accelerator=options.accelerator or default_accelerator,
            models_folders=options.models_folders or (default_models_folder,),
            llama_server=options.llama_server,
        )
    moved = [
        field
        for field, owner in PORT_OWNERS.items()
        if owner not in running and not is_free(getattr(stored.ports, field))
    ]
    replaced = dict(zip(moved, choose(shuffled, len(moved), is_free), strict=True))
    asked = None if options.port == stored.ports.front else options.port
    if asked is not None or "front" not in running:
        replaced["front"] = choose_front(is_free, asked, stored.ports.front, name=stored.name)
    return stored.model_copy(
        update={
            "ports": stored.ports.model_copy(update=replaced),
            "accelerator": options.accelerator or stored.accelerator,
            "models_folders": options.models_folders or stored.models_folders,
            "llama_server": options.llama_server or stored.llama_server,
        }
    )
