"""The folders, certificates and kubeconfigs of a cluster."""

from __future__ import annotations

from datetime import datetime

from puna_cli.cluster.certificates import ensure_certificates
from puna_cli.cluster.identities import CLUSTER_CA, cluster_requests
from puna_cli.cluster.kubeconfig import kubeconfig
from puna_cli.cluster.state import ClusterState, write_private, write_state
from puna_cli.paths import ClusterPaths

USERS = ("controller-manager", "scheduler", "node", "operator")
"""Identities of processes that read a kubeconfig."""


def make_folders(paths: ClusterPaths) -> None:
    """Every folder of the cluster; only the user may enter the root."""
    paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths.root.chmod(0o700)
    folders = (paths.credentials, paths.logs, paths.processes, paths.agent, paths.front)
    for folder in (*folders, paths.volumes, paths.model_cache, paths.etcd):
        folder.mkdir(mode=0o700, exist_ok=True)


def prepare(paths: ClusterPaths, state: ClusterState, now: datetime) -> None:
    """Put everything in place that the processes read; what is right already stays as it is."""
    make_folders(paths)
    ensure_certificates(paths, cluster_requests(state.node_name), now)
    for user in USERS:
        write_private(paths.kubeconfig_of(user), kubeconfig_for(paths, state, user))
    write_private(paths.kubeconfig, kubeconfig_for(paths, state, "admin"))
    write_state(paths, state)


def kubeconfig_for(paths: ClusterPaths, state: ClusterState, user: str) -> str:
    """Kubeconfig of one identity."""
    return kubeconfig(
        name=f"puna-{state.name}",
        server=state.server,
        user=user,
        authority=paths.certificate(CLUSTER_CA).read_bytes(),
        certificate=paths.certificate(user).read_bytes(),
        key=paths.key(user).read_bytes(),
    )
