"""What every part of the agent's shell shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from puna_node.admission import Policy
from puna_node.api import Api
from puna_node.config import AgentConfig
from puna_node.events import Events
from puna_node.launch import ApiEndpoint
from puna_node.pod_addresses import PodAddresses
from puna_node.shims import Shims


@dataclass(frozen=True, slots=True)
class Context:
    """The agent's services and settings."""

    api: Api
    config: AgentConfig
    policy: Policy
    events: Events
    addresses: PodAddresses
    root: Path
    """Folder of all Pods, by a short path."""
    node_address: str
    endpoint: ApiEndpoint
    allocatable: Mapping[str, str]
    shims: Shims
    user: int | None
    """Uid of the processes, None for the agent's own."""
    kept: tuple[int, ...] = ()
    """Descriptors of locks that live as long as a process of a Pod."""
