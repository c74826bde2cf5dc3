"""`puna up`: from nothing, or from what is left, to a cluster that works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from puna_cli.binaries.find import Binaries, find_binaries
from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.control_plane import api_server, controllers
from puna_cli.cluster.free_ports import port_is_free, shuffled_ports
from puna_cli.cluster.host import (
    accelerator_count,
    code_of,
    default_accelerator,
    find_envoy,
    find_llama_server,
)
from puna_cli.cluster.install import install
from puna_cli.cluster.launch import Launched, ensure_running, launch_api_server
from puna_cli.cluster.prepare import make_folders
from puna_cli.cluster.processes import running
from puna_cli.cluster.program import Program, Record
from puna_cli.cluster.ready import front_is_ready, node_is_ready, operator_is_healthy
from puna_cli.cluster.settle import UpOptions, settle
from puna_cli.cluster.state import ClusterState, read_state, write_private
from puna_cli.cluster.wait import wait_until
from puna_cli.cluster.workload import (
    agent,
    agent_config,
    allowed_networks,
    front,
    front_control,
    operator,
)
from puna_cli.errors import CommandError
from puna_cli.front.serve import prepare as prepare_front
from puna_cli.kubectl import Kubectl
from puna_cli.locks import locked
from puna_cli.paths import ClusterPaths, cluster_paths, models_folder
from puna_cli.report import Report, Step
from puna_node.config import Network

WORKLOAD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is up."""

    paths: ClusterPaths
    state: ClusterState
    kubectl: Kubectl
    started: tuple[str, ...]
    """Programs that were not running before."""


@dataclass(frozen=True, slots=True)
class Host:
    """Programs of this machine that a cluster uses."""

    binaries: Binaries
    envoy: str

    @property
    def kubectl(self) -> Path:
        """Kubectl."""
        return self.binaries.path("kubectl")


def up(options: UpOptions, environment: Mapping[str, str], report: Report) -> Cluster:
    """Bring the cluster up, or repair it; what runs as it should is left alone.

    Raises:
        CommandError: a step failed; says which process, and where its log is.
    """
    paths = cluster_paths(environment, options.name)
    with report.step("Kubernetes programs") as step:
        binaries = find_binaries(environment, step)
    host = Host(binaries, find_envoy())
    # Before anything starts: what was named has to be there, and to make sense.
    find_llama_server(options.llama_server, environment)
    allowed_networks(environment)
    make_folders(paths)
    with locked(paths.lock, lambda: report.waiting("another command works on this cluster")):
        with report.step("API server and front") as step:
            launched = _api_server(paths, options, host, environment, step)
            step.result = _told(launched.started)
        with report.step("Custom resources and access rules") as step:
            install(paths, launched.state, host.kubectl, launched.records, step)
        with report.step("Controllers, operator and node") as step:
            started = _workload(paths, launched, host, environment, step)
            step.result = _told(started)
    kubectl = Kubectl(host.kubectl, paths.kubeconfig)
    return Cluster(paths, launched.state, kubectl, (*launched.started, *started))


def _told(started: tuple[str, ...]) -> str:
    return f"started {', '.join(started)}" if started else "already up"


def _api_server(
    paths: ClusterPaths,
    options: UpOptions,
    host: Host,
    environment: Mapping[str, str],
    step: Step,
) -> Launched:
    stored = read_state(paths)
    if stored is not None and stored.kubeconfig is not None:
        raise CommandError(
            f"--name {stored.name}: this name stands for the cluster of {stored.kubeconfig}; "
            f"`puna up --kubeconfig` it, choose another name, or `puna down --purge` it"
        )

    def settled() -> ClusterState:
        return settle(
            read_state(paths),
            options,
            running=running(paths).keys(),
            is_free=port_is_free,
            shuffled=shuffled_ports(),
            default_accelerator=default_accelerator(),
            default_models_folder=str(models_folder(environment)),
        )

    def arranged(state: ClusterState) -> tuple[Program, ...]:
        prepare_front(paths.front, state.ports.front, state.name, running="front" in running(paths))
        # The front is among the first: from here on its port is this cluster's.
        return (*api_server(paths, state.ports, host.binaries.folder), front(paths, host.envoy))

    return launch_api_server(paths, settled, arranged, environment, step)


def _workload(
    paths: ClusterPaths,
    launched: Launched,
    host: Host,
    environment: Mapping[str, str],
    step: Step,
) -> tuple[str, ...]:
    python, state = sys.executable, launched.state
    llama_server = find_llama_server(state.llama_server, environment)
    for folder in state.models_folders:
        Path(folder).mkdir(parents=True, exist_ok=True)
    programs = (
        *controllers(paths, host.binaries.folder),
        _agent(paths, state, llama_server, allowed_networks(environment)),
        front_control(paths, state, python, code_of("puna_cli", "front")),
        operator(paths, state, python, environment, code_of("puna")),
    )
    started = ensure_running(paths, programs, environment)
    _wait_workload(paths, state, {**launched.records, **running(paths), **started}, step)
    return tuple(started)


def _agent(
    paths: ClusterPaths,
    state: ClusterState,
    llama_server: tuple[str, ...],
    networks: tuple[Network, ...],
) -> Program:
    config = agent_config(
        paths,
        state,
        python=sys.executable,
        llama_server=llama_server,
        accelerators=accelerator_count(state.accelerator),
        networks=networks,
    )
    file = paths.agent / "agent.json"
    write_private(file, config.model_dump_json(by_alias=True, indent=1))
    return agent(paths, file, sys.executable, code_of("puna_node"))


def _wait_workload(
    paths: ClusterPaths, state: ClusterState, records: Mapping[str, Record], step: Step
) -> None:
    with (
        LocalApi(paths, state.server) as api,
        httpx.Client(trust_env=False, timeout=2) as client,
    ):
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        node = f"/api/v1/nodes/{state.node_name}"
        facts: tuple[tuple[str, tuple[str, ...], Callable[[], object]], ...] = (
            ("controllers", ("controller-manager",), lambda: api.get(account)),
            ("node", ("agent",), lambda: node_is_ready(api.get(node)) or None),
            ("front", ("front",), lambda: front_is_ready(client, state) or None),
            ("operator", ("operator",), lambda: operator_is_healthy(client, state) or None),
        )
        for what, suspects, fact in facts:
            wait_until(
                fact,
                what=f"waiting for the {what}",
                seconds=WORKLOAD_SECONDS,
                paths=paths,
                records=records,
                suspects=suspects,
                step=step,
            )
