"""What the arguments of a process may reach on this host. Pure.

A program opens the paths that it is given, whoever wrote them. So every argument that is a path,
as a whole or behind `flag=`, lies in what the Pod has mounted, and networks are the node owner's.
Arguments of llama-server are judged flag by flag instead, see `arguments`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from puna_node.arguments import refused_argument
from puna_node.config import Network, Profile
from puna_node.launch import Folders, Launch
from puna_node.manifest import Manifest, volumes
from puna_node.mounts import is_plainly_within

ALLOW_NETWORK: Final = "--allow-network"
"""Flag of puna-fetch: a network, beside public addresses, that it may connect to."""
SHOWN: Final = 200
"""Characters of an argument that a message repeats."""
_NAMED: Final = re.compile(r"([-\w.]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reach:
    """What one container may name."""

    folders: tuple[str, ...]
    """Its mounts, HOME and the host folders allowed on this node."""
    scratch: tuple[str, ...]
    """Its emptyDir volumes: nobody brings files in them along."""
    networks: tuple[Network, ...]


def reach_of(
    pod: Manifest,
    container: Manifest,
    launch: Launch,
    *,
    folders: Folders,
    host_paths: tuple[str, ...],
    networks: tuple[Network, ...],
) -> Reach:
    """What a container of a Pod may reach."""
    mounted = [mount["name"] for mount in container.get("volumeMounts") or ()]
    empty = {volume["name"] for volume in volumes(pod) if "emptyDir" in volume}
    return Reach(
        folders=(
            folders.home,
            *(mount.target for mount in launch.mounts),
            *(folders.volumes[name] for name in mounted),
            *host_paths,
        ),
        scratch=tuple(folders.volumes[name] for name in mounted if name in empty),
        networks=networks,
    )


def refused(arguments: Sequence[str], profile: Profile, reach: Reach) -> str | None:
    """Why a process may not be started with these arguments; None if it may.

    Args:
        arguments: those of the container, after mount paths and variables were replaced.
        profile: says which program it is.
        reach: what they may name.
    """
    if profile.drain_slots:
        return refused_argument(arguments, reach.folders)
    return next(_findings(arguments, profile, reach), None)


def _findings(arguments: Sequence[str], profile: Profile, reach: Reach) -> Iterator[str]:
    for index, argument in enumerate(arguments):
        shown = f"args: {argument[:SHOWN]}"
        named = _NAMED.fullmatch(argument)
        flag = named.group(1) if named else argument
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        value = named.group(2) if named else following
        if profile.flags is not None and argument.startswith("-") and flag not in profile.flags:
            yield f"{shown} is not among the flags of {profile.image} allowed on this node"
        if any(_escapes(text, reach.folders) for text in (argument, value if named else "")):
            yield f"{shown} is outside the Pod's volumes"
        if flag in profile.scratch_flags and not is_plainly_within(value, reach.scratch):
            yield f"{shown}: {value[:SHOWN]} has to lie in an emptyDir volume of the Pod"
        if flag == ALLOW_NETWORK and not _is_allowed(value, reach.networks):
            yield f"{shown}: {value[:SHOWN]} is not among the networks allowed on this node"


def _escapes(text: str, folders: Sequence[str]) -> bool:
    if text.startswith("/"):
        return not is_plainly_within(text, folders)
    return ".." in text.split("/")


def _is_allowed(text: str, networks: Sequence[Network]) -> bool:
    try:
        wanted = ip_network(text)
    except ValueError:
        return False
    return any(_contains(network, wanted) for network in networks)


def _contains(network: Network, wanted: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(wanted, IPv4Network) and wanted.subnet_of(network)
    return isinstance(wanted, IPv6Network) and wanted.subnet_of(network)
