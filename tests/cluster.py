"""Real clusters for tests, started by the code of `puna up`.

`ControlPlane` is an API server with its etcd (and controllers where asked for), for the `api` tier;
`LocalCluster` is all of `puna up` under a name of its own, for the `e2e` tier. Both live in a
folder of their own, on ports of their own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from puna_cli.binaries.find import Binaries, find_binaries
from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.certificates import add_user
from puna_cli.cluster.control_plane import AuditOptions, api_server, audit_policy
from puna_cli.cluster.control_plane import controllers as controller_programs
from puna_cli.cluster.free_ports import port_is_free, shuffled_ports
from puna_cli.cluster.install import install
from puna_cli.cluster.launch import ensure_running, launch_api_server, stop_programs
from puna_cli.cluster.prepare import kubeconfig_for, make_folders
from puna_cli.cluster.processes import running
from puna_cli.cluster.program import Program
from puna_cli.cluster.settle import UpOptions, settle
from puna_cli.cluster.state import ClusterState, read_state, write_private
from puna_cli.kubectl import Kubectl
from puna_cli.paths import ClusterPaths
from puna_cli.report import Report, Step

T = TypeVar("T")
STOP_SECONDS = {"apiserver": 2.0}


def eventually(fact: Callable[[], T | None], *, seconds: float = 30, what: str = "") -> T:
    """What `fact` gives as soon as it is neither None nor False; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = fact()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or fact}")
        time.sleep(0.05)


@dataclass(slots=True)
class ApiServer:
    """What both kinds of cluster offer to a test."""

    paths: ClusterPaths
    state: ClusterState
    kubectl_binary: Path

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self.state.server

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.paths.kubeconfig

    def kubectl(self, *args: str, text: str | None = None, seconds: float = 60) -> str:
        """Output of kubectl as administrator; raises CommandError with what it said."""
        return Kubectl(self.kubectl_binary, self.kubeconfig).run(*args, text=text, seconds=seconds)

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Server-side apply as administrator."""
        Kubectl(self.kubectl_binary, self.kubeconfig).apply(manifests)

    def get(self, path: str, user: str = "admin") -> dict[str, Any] | None:
        """The object or list at an API path; None where there is none."""
        with LocalApi(self.paths, self.server, user) as api:
            return api.get(path)

    def user_kubeconfig(self, name: str, *groups: str) -> Path:
        """Kubeconfig of one more user, known to the API server by this name and these groups."""
        file_name = "user-" + name.replace(":", "-")
        target = self.paths.kubeconfig_of(file_name)
        if not target.exists():
            add_user(self.paths, file_name, name, groups, datetime.now(UTC))
            write_private(target, kubeconfig_for(self.paths, self.state, file_name))
        return target

    def new_namespace(self, prefix: str = "test") -> str:
        """A fresh namespace."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def logs(self, lines: int = 40) -> str:
        """Last lines of every process's log."""
        parts: list[str] = []
        for log in sorted(self.paths.logs.glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            parts.append(f"==== {log.name}\n" + "\n".join(text))
        return "\n".join(parts)


@dataclass(slots=True)
class ControlPlane(ApiServer):
    """An API server with its etcd."""

    audit_log: Path | None = None

    def stop(self) -> None:
        """End its processes."""
        stop_programs(self.paths, list(running(self.paths)), STOP_SECONDS)


def binaries() -> Binaries:
    """The Kubernetes programs, built now if they never were."""
    return find_binaries(os.environ, _step())


def start_control_plane(
    folder: Path, *, controllers: bool = False, audit_users: Sequence[str] = ()
) -> ControlPlane:
    """Start a control plane with its data in `folder`.

    With `controllers` our custom resources and access rules are installed, and the
    controller-manager and the scheduler run too. Requests of `audit_users` are written to
    `audit_log`, one JSON event per line, level Metadata.
    """
    paths = ClusterPaths(folder)
    make_folders(paths)
    tools = binaries()
    audit: AuditOptions | None = None
    if audit_users:
        audit = AuditOptions(policy=folder / "audit-policy.json", log=folder / "audit.log")
        audit.policy.write_text(audit_policy(tuple(audit_users)), encoding="utf-8")
        audit.log.touch()

    def settled() -> ClusterState:
        return settle(
            read_state(paths),
            UpOptions(name="test"),
            running=(),
            is_free=port_is_free,
            shuffled=shuffled_ports(),
            default_accelerator="cpu",
            default_models_folder=str(folder / "models"),
        )

    def programs(state: ClusterState) -> tuple[Program, ...]:
        return api_server(paths, state.ports, tools.folder, audit=audit)

    try:
        launched = launch_api_server(paths, settled, programs, os.environ, _step())
        plane = ControlPlane(
            paths, launched.state, tools.path("kubectl"), audit.log if audit else None
        )
        eventually(lambda: plane.get("/api/v1/namespaces/default"), what="namespace default")
        if controllers:
            # Before the garbage collector looks which kinds there are.
            install(paths, plane.state, plane.kubectl_binary, launched.records, _step())
            ensure_running(paths, controller_programs(paths, tools.folder), os.environ)
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            eventually(lambda: plane.get(account), what="the default ServiceAccount")
    except BaseException:
        stop_programs(paths, list(running(paths)), STOP_SECONDS)
        raise
    return plane


@dataclass(slots=True)
class LocalCluster(ApiServer):
    """A whole local cluster, driven through the `puna` command."""

    home: CommandHome = field(kw_only=True)

    @property
    def front(self) -> str:
        """URL of the front, without /v1."""
        return self.state.front

    def puna(self, *args: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one `puna` command on this cluster."""
        return self.home.puna(*args, f"--name={self.state.name}", seconds=seconds)


@dataclass(frozen=True, slots=True)
class CommandHome:
    """A state folder in which `puna` commands run without touching the user's clusters."""

    folder: Path
    environment: dict[str, str]

    def puna(self, *args: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one `puna` command; the caller looks at its exit status and output."""
        return subprocess.run(
            [sys.executable, "-m", "puna_cli", *args],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def paths(self, name: str) -> ClusterPaths:
        """Paths of the cluster of this name."""
        return ClusterPaths(self.folder / "puna" / name)

    def cluster(self, name: str) -> LocalCluster:
        """The cluster of this name, which is up."""
        state = read_state(self.paths(name))
        assert state is not None
        kubectl = binaries().path("kubectl")
        return LocalCluster(self.paths(name), state, kubectl, home=self)


@contextmanager
def command_home(**variables: str) -> Iterator[CommandHome]:
    """A fresh state folder; every cluster in it is ended at the end.

    `variables` are added to the environment, for example PUNA_ALLOWED_NETWORKS.
    """
    # Short: sockets below it have a path limit of 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="puna-"))
    kubernetes = str(binaries().folder)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PUNA_")},
        "XDG_STATE_HOME": str(folder),
        "PUNA_KUBE_BIN": kubernetes,
        **variables,
    }
    home = CommandHome(folder, environment)
    try:
        yield home
    finally:
        for cluster in (folder / "puna").glob("*/state.json"):
            home.puna("down", f"--name={cluster.parent.name}")
        shutil.rmtree(folder, ignore_errors=True)


def start_local_cluster(home: CommandHome, *args: str, name: str = "") -> LocalCluster:
    """`puna up` under a random name."""
    chosen = name or f"t{secrets.token_hex(3)}"
    done = home.puna("up", f"--name={chosen}", *args, seconds=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return home.cluster(chosen)


def read_json(text: str) -> dict[str, Any]:
    """A JSON object."""
    document: dict[str, Any] = json.loads(text)
    return document


def _step() -> Step:
    return Step(Report(Console(quiet=True)).console, "test")
