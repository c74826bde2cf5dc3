"""`puna up --kubeconfig`: the operator on this machine, for a cluster that was there before."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from puna_cli.binaries.find import find_kubectl
from puna_cli.cluster.free_ports import port_is_free, shuffled_ports
from puna_cli.cluster.host import code_of
from puna_cli.cluster.launch import ensure_running
from puna_cli.cluster.manifests import custom_resources, router_role
from puna_cli.cluster.ports import choose_ports
from puna_cli.cluster.prepare import make_folders
from puna_cli.cluster.processes import running
from puna_cli.cluster.program import Program
from puna_cli.cluster.ready import operator_is_healthy
from puna_cli.cluster.state import ClusterState, read_state, write_state
from puna_cli.cluster.wait import wait_until
from puna_cli.cluster.workload import user_settings
from puna_cli.errors import CommandError
from puna_cli.kubectl import Kubectl
from puna_cli.locks import locked
from puna_cli.paths import ClusterPaths, cluster_paths
from puna_cli.report import Report

OPERATOR_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Attached:
    """An operator that works on another's cluster."""

    paths: ClusterPaths
    state: ClusterState
    kubectl: Kubectl


def attach(name: str, kubeconfig: Path, environment: Mapping[str, str], report: Report) -> Attached:
    """Install the custom resources into a cluster and run the operator for it, in the background.

    The operator acts as the kubeconfig's user. There is no front and no node of ours: Pods run
    where the cluster runs them, from images.

    Raises:
        CommandError: the file or the cluster cannot be used, or a local cluster has this name.
    """
    if not kubeconfig.is_file():
        raise CommandError(f"--kubeconfig {kubeconfig}: no such file")
    paths = cluster_paths(environment, name)
    with report.step("kubectl") as step:
        kubectl = Kubectl(find_kubectl(environment, step), kubeconfig.resolve())
    make_folders(paths)
    with locked(paths.lock, lambda: report.waiting("another command works on this cluster")):
        state = _state(paths, name, kubectl.kubeconfig)
        write_state(paths, state)
        with report.step("Custom resources") as step:
            step.note("applying")
            kubectl.apply([*custom_resources(), router_role()])
        with report.step("Operator") as step:
            program = _operator(state, environment)
            ensure_running(paths, (program,), environment)
            with httpx.Client(trust_env=False, timeout=2) as client:
                wait_until(
                    lambda: operator_is_healthy(client, state) or None,
                    what="waiting for the operator",
                    seconds=OPERATOR_SECONDS,
                    paths=paths,
                    records=running(paths),
                    suspects=("operator",),
                    step=step,
                )
    return Attached(paths, state, kubectl)


def _state(paths: ClusterPaths, name: str, kubeconfig: Path) -> ClusterState:
    stored = read_state(paths)
    if stored is None:
        ports = choose_ports(port_is_free, shuffled_ports())
        return ClusterState(name=name, ports=ports, kubeconfig=str(kubeconfig))
    if stored.kubeconfig is None:
        raise CommandError(
            f"--name {name}: a local cluster has this name; choose another, "
            f"or `puna down --name {name} --purge` it"
        )
    return stored.model_copy(update={"kubeconfig": str(kubeconfig)})


def _operator(state: ClusterState, environment: Mapping[str, str]) -> Program:
    kubeconfig = Path(str(state.kubeconfig))
    return Program(
        "operator",
        (sys.executable, "-m", "puna"),
        environment={
            "KUBECONFIG": str(kubeconfig),
            "PUNA_LISTEN": f"127.0.0.1:{state.ports.operator}",
            **user_settings(environment),
        },
        inputs=(kubeconfig, *code_of("puna")),
    )
