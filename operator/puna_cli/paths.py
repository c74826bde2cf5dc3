"""Where things lie on this machine. Pure: environment in, paths out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from puna_cli.errors import CommandError

NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$")


def home_folder(environment: Mapping[str, str]) -> Path:
    """The user's home folder."""
    return Path(environment["HOME"]) if environment.get("HOME") else Path.home()


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Folder of what can be built or fetched again: binaries, the Go toolchain, models."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else home_folder(environment) / ".cache") / "puna"


def state_folder(environment: Mapping[str, str]) -> Path:
    """Folder of all local clusters."""
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else home_folder(environment) / ".local" / "state") / "puna"


def models_folder(environment: Mapping[str, str]) -> Path:
    """Folder of model files that clusters of this user may read."""
    return cache_folder(environment) / "models"


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    """The state of one local cluster; everything below `root`, which only the user may enter."""

    root: Path

    @property
    def state(self) -> Path:
        """Ports and settings that outlive `puna down`."""
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        """Held while a command changes the cluster."""
        return self.root / "lock"

    @property
    def kubeconfig(self) -> Path:
        """The user's kubeconfig: cluster administrator."""
        return self.root / "kubeconfig"

    @property
    def credentials(self) -> Path:
        """Keys, certificates and the kubeconfigs of the processes."""
        return self.root / "credentials"

    @property
    def etcd(self) -> Path:
        """Data of etcd."""
        return self.root / "etcd"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """One record per process: pid, start time, digest of what was started."""
        return self.root / "processes"

    @property
    def agent(self) -> Path:
        """Folder of the node agent: its configuration, Pods and their logs."""
        return self.root / "agent"

    @property
    def volumes(self) -> Path:
        """PersistentVolumeClaims as folders `<namespace>/<claim>`."""
        return self.root / "volumes"

    @property
    def model_cache(self) -> Path:
        """Model files that `puna-fetch` has published on the node."""
        return self.root / "model-cache"

    @property
    def front(self) -> Path:
        """Envoy files of the front."""
        return self.root / "front"

    def certificate(self, name: str) -> Path:
        """Certificate (PEM) of one identity."""
        return self.credentials / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Private key (PEM) of one identity."""
        return self.credentials / f"{name}.key"

    def kubeconfig_of(self, name: str) -> Path:
        """Kubeconfig of one identity."""
        return self.credentials / f"{name}.kubeconfig"

    def log(self, name: str) -> Path:
        """Log of one process."""
        return self.logs / f"{name}.log"

    def process(self, name: str) -> Path:
        """Record of one process."""
        return self.processes / f"{name}.json"


def cluster_paths(environment: Mapping[str, str], name: str) -> ClusterPaths:
    """Paths of the cluster called `name`.

    Raises:
        CommandError: the name is no short DNS label.
    """
    if not NAME.match(name):
        raise CommandError(
            f"--name {name!r}: use 1 to 20 lower-case letters, digits and dashes, "
            "with a letter or digit at both ends"
        )
    return ClusterPaths(state_folder(environment) / name)
