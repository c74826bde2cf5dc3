"""What the decision about a Pod asks the shell to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Prepare:
    """Read what the Pod names, make its folders and fill its volumes."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the next attempt of a container."""

    container: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Run a probe of a container once."""

    container: str
    kind: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Wait until a llama-server has no request in flight."""

    container: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send SIGTERM to a container's process."""

    container: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Send SIGKILL to a container's process and all of its group."""

    container: str


@dataclass(frozen=True, slots=True)
class Finalize:
    """Delete the Pod's object, then its folders here."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event about the Pod."""

    warning: bool
    reason: str
    message: str


Action: TypeAlias = Prepare | Start | Probe | Drain | Terminate | Kill | Finalize
