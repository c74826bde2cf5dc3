"""What runs on a control plane: operator, node agent and front. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from puna.settings import (
    IMAGE_LLAMA_SERVER,
    IMAGE_PUNA,
    IMAGE_ROUTER,
    IMAGE_TRAINER,
    Settings,
)
from puna.variables import PREFIX, SettingsError
from puna_cli.binaries.tools import VARIABLE
from puna_cli.cluster.identities import CLUSTER_CA
from puna_cli.cluster.program import Program
from puna_cli.cluster.state import ClusterState
from puna_cli.errors import CommandError
from puna_cli.front.envoy import BOOTSTRAP
from puna_cli.paths import ClusterPaths
from puna_node.config import RESOURCE_METAL, AgentConfig, Network, Profile

RESOURCE_CUDA: Final = "nvidia.com/gpu"
NODE_ADDRESS: Final = "127.0.0.1"
POD_NETWORK: Final = "127.77.0.0/16"
"""Each agent takes a part of it that no other agent of this host has."""

FETCH_FLAGS: Final = (
    *("--uri", "--destination", "--sha256", "--max-bytes"),
    *("--credentials-directory", "--ca-file", "--record-directory", "--allow-network"),
    *("--connect-timeout", "--stall-timeout", "--retry-seconds", "--lock-timeout"),
)
ROUTER_FLAGS: Final = (
    *("--namespace", "--directory", "--listen", "--port", "--control-port"),
    *("--api-key-file", "--service-account-directory", "--tls-directory", "--pod", "--peers"),
    *("--concurrency", "--drain-seconds", "--settle-seconds", "--seconds", "--guarded"),
)
"""Not among them: what names a program to run, or credentials and addresses beside the Pod's."""
TRAINER_COMMAND: Final = ("python", "-m", "puna_trainer")
TRAINER_PATHS: Final = ("outputDirectory", "uri", "upload")
"""Members of a run that name what is read and written."""


def operator_settings(
    paths: ClusterPaths, state: ClusterState, user: Mapping[str, str]
) -> dict[str, str]:
    """PUNA_* variables of the operator; the user's own win."""
    ours = {
        "PUNA_PUBLIC_URL": f"{state.front}/namespaces/{{namespace}}/v1",
        "PUNA_MODEL_CACHE_HOST_PATH": str(paths.model_cache),
        "PUNA_MODEL_FOLDERS": ":".join(state.models_folders),
        "PUNA_LISTEN": f"127.0.0.1:{state.ports.operator}",
        # A node agent gives Pods no network of their own: everything binds the Pod's address.
        "PUNA_ROUTER_BIND_ADDRESS": "$(POD_IP)",
        # There is no cluster DNS.
        "PUNA_TRAINING_RENDEZVOUS": "Volume",
    }
    return ours | user_settings(user)


def user_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """PUNA_* variables of the user, which the operator gets as they are."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PUNA_") and name != VARIABLE
    }


def allowed_networks(user: Mapping[str, str]) -> tuple[Network, ...]:
    """Networks that the user lets downloads connect to, as the operator reads them.

    Raises:
        CommandError: the variable does not say networks.
    """
    name = f"{PREFIX}ALLOWED_NETWORKS"
    try:
        settings = Settings.from_env({name: user.get(name, "")})
    except SettingsError as error:
        raise CommandError(str(error)) from error
    return tuple(map(ip_network, settings.allowed_networks))


def operator(
    paths: ClusterPaths,
    state: ClusterState,
    python: str,
    user: Mapping[str, str],
    code: tuple[Path, ...] = (),
) -> Program:
    """The operator; `code` (its source files) makes an upgraded one restart."""
    kubeconfig = paths.kubeconfig_of("operator")
    return Program(
        "operator",
        (python, "-m", "puna"),
        environment={"KUBECONFIG": str(kubeconfig), **operator_settings(paths, state, user)},
        inputs=(kubeconfig, *code),
    )


def agent_config(
    paths: ClusterPaths,
    state: ClusterState,
    *,
    python: str,
    llama_server: tuple[str, ...],
    accelerators: int,
    networks: tuple[Network, ...] = (),
) -> AgentConfig:
    """Configuration of the node agent of a local cluster.

    Args:
        paths: of the cluster.
        state: of the cluster.
        python: interpreter that has Puna installed.
        llama_server: what runs as llama-server.
        accelerators: how many the node offers as an extended resource.
        networks: what downloads may connect to, beside public addresses.
    """
    resources = {"metal": RESOURCE_METAL, "cuda": RESOURCE_CUDA}
    resource = resources.get(state.accelerator)
    # Modules come from the installation, never from the working directory.
    safe = (python, "-P", "-m")
    return AgentConfig(
        node_name=state.node_name,
        kubeconfig=str(paths.kubeconfig_of("node")),
        directory=str(paths.agent),
        accelerator=state.accelerator,
        # The one node of the cluster runs everything.
        tainted=False,
        extended_resources={resource: accelerators} if resource and accelerators else {},
        address=NODE_ADDRESS,
        pod_network=POD_NETWORK,
        port=state.ports.agent,
        serving_certificate=str(paths.certificate("node-server")),
        serving_key=str(paths.key("node-server")),
        client_ca=str(paths.certificate(CLUSTER_CA)),
        allowed_host_paths=(*state.models_folders, str(paths.model_cache)),
        allowed_networks=networks,
        profiles=(
            Profile(image=IMAGE_LLAMA_SERVER, run=llama_server, drain_slots=True),
            Profile(
                image=IMAGE_PUNA,
                command=("puna-fetch",),
                run=(*safe, "puna_fetch"),
                flags=FETCH_FLAGS,
            ),
            Profile(
                image=IMAGE_ROUTER,
                run=(*safe, "puna_router"),
                flags=ROUTER_FLAGS,
                scratch_flags=("--directory",),
            ),
            Profile(
                image=IMAGE_TRAINER,
                command=TRAINER_COMMAND,
                run=(*safe, "puna_trainer"),
                flags=(),
                path_members=TRAINER_PATHS,
            ),
        ),
        volume_root=str(paths.volumes),
    )


def agent(paths: ClusterPaths, config: Path, python: str, code: tuple[Path, ...] = ()) -> Program:
    """The node agent."""
    return Program(
        "agent",
        (python, "-m", "puna_node", "--config", str(config)),
        inputs=(config, paths.kubeconfig_of("node"), paths.certificate("node-server"), *code),
        stop_seconds=20,
    )


def front(paths: ClusterPaths, envoy: str) -> Program:
    """The front: an Envoy that takes its configuration from files."""
    bootstrap = paths.front / BOOTSTRAP
    return Program(
        "front",
        (
            *(envoy, "--config-path", str(bootstrap), "--log-level", "error"),
            *("--concurrency", "2", "--disable-hot-restart"),
        ),
        inputs=(bootstrap,),
        stop_seconds=3,
    )


def front_control(
    paths: ClusterPaths, state: ClusterState, python: str, code: tuple[Path, ...] = ()
) -> Program:
    """What writes the front's files, and gives volume claims their folders."""
    return Program(
        "front-control",
        (
            *(python, "-m", "puna_cli.front"),
            f"--server={state.server}",
            f"--authority={paths.certificate(CLUSTER_CA)}",
            f"--certificate={paths.certificate('front')}",
            f"--key={paths.key('front')}",
            f"--cluster={state.name}",
            f"--directory={paths.front}",
            f"--volumes={paths.volumes}",
        ),
        inputs=(paths.certificate("front"), paths.certificate(CLUSTER_CA), *code),
    )
