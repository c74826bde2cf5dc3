"""What a local cluster remembers from one command to the next."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from puna_cli.errors import CommandError
from puna_cli.paths import ClusterPaths


class Ports(BaseModel):
    """Ports on 127.0.0.1."""

    model_config = ConfigDict(frozen=True)

    etcd: int
    etcd_peer: int
    api: int
    agent: int
    operator: int
    front: int


class ClusterState(BaseModel):
    """Choices of the first `puna up`, kept so that addresses stay the same."""

    model_config = ConfigDict(frozen=True)

    name: str
    ports: Ports
    accelerator: str = "cpu"
    models_folders: tuple[str, ...] = ()
    llama_server: str | None = None
    """The llama-server that the user named; absent: the best one that is found."""
    kubeconfig: str | None = None
    """Kubeconfig of a cluster that was there before: then only the operator runs here."""

    @property
    def node_name(self) -> str:
        """Name of the cluster's one node."""
        return f"puna-{self.name}"

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://127.0.0.1:{self.ports.api}"

    @property
    def front(self) -> str:
        """URL of the front."""
        return f"http://127.0.0.1:{self.ports.front}"


def read_state(paths: ClusterPaths) -> ClusterState | None:
    """The stored state; None before the first `puna up`.

    Raises:
        CommandError: the file is there but cannot be read as a state.
    """
    try:
        text = paths.state.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return ClusterState.model_validate_json(text)
    except ValidationError as error:
        raise CommandError(
            f"{paths.state} cannot be read ({error.error_count()} errors): "
            f"remove {paths.root} to start afresh"
        ) from error


def write_state(paths: ClusterPaths, state: ClusterState) -> None:
    """Store the state; a crash leaves the old or the new one."""
    write_private(paths.state, state.model_dump_json(indent=1))


def write_private(path: Path, text: str) -> bool:
    """Put a file with mode 0600 in place by rename; False if it already held this text."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except FileNotFoundError:
        pass
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.rename(path)
    return True
