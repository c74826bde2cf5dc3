from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from puna.namespace.deployment import build_deployment
from puna.settings import RouterSettings
from puna_cli.cluster.control_plane import api_server, audit_policy, controllers
from puna_cli.cluster.program import (
    Program,
    Record,
    child_environment,
    digest,
    in_stop_order,
    outdated,
    split_at_pods,
)
from puna_cli.cluster.state import ClusterState, Ports
from puna_cli.cluster.workload import (
    FETCH_FLAGS,
    ROUTER_FLAGS,
    agent_config,
    allowed_networks,
    operator,
    operator_settings,
)
from puna_cli.errors import CommandError
from puna_cli.paths import ClusterPaths
from puna_fetch.config import FetchRequest
from puna_node.config import AgentConfig
from tests.cluster import read_json

PATHS = ClusterPaths(Path("/state/puna"))
PORTS = Ports(etcd=1, etcd_peer=2, api=3, agent=4, operator=5, front=6)
STATE = ClusterState(name="puna", ports=PORTS, models_folders=("/models", "/more"))


def flags(name: str) -> dict[str, str]:
    all_of_them = (
        *api_server(PATHS, PORTS, Path("/bin")),
        *controllers(PATHS, Path("/bin")),
    )
    programs = {program.name: program for program in all_of_them}
    return dict(argument.split("=", 1) for argument in programs[name].argv[1:])


def test_whoever_makes_pods_ends_before_the_pods_and_storage_ends_last() -> None:
    names = ["etcd", "agent", "front", "apiserver", "scheduler", "operator", "front-control"]
    assert in_stop_order(names) == [
        ["operator", "front-control", "front"],
        ["scheduler"],
        ["agent"],
        ["apiserver"],
        ["etcd"],
    ]


def test_a_program_of_an_older_puna_ends_first() -> None:
    assert in_stop_order(["etcd", "something"]) == [["something"], ["etcd"]]


def test_pods_end_while_the_api_server_still_answers() -> None:
    assert split_at_pods(["apiserver", "agent", "etcd", "front"]) == (
        ["agent", "front"],
        ["apiserver", "etcd"],
    )


def test_a_program_that_would_be_started_otherwise_is_outdated() -> None:
    running = {"a": Record(1, 0.0, "same"), "b": Record(2, 0.0, "old"), "c": Record(3, 0.0, "x")}
    assert outdated({"a": "same", "b": "new"}, running) == ["b", "c"]


def test_a_digest_covers_arguments_environment_and_inputs() -> None:
    base = Program("p", ("x", "--a=1"), environment={"A": "1"})
    digests = {
        digest(base, [b"in"]),
        digest(Program("p", ("x", "--a=2"), environment={"A": "1"}), [b"in"]),
        digest(Program("p", ("x", "--a=1"), environment={"A": "2"}), [b"in"]),
        digest(base, [b"other"]),
        digest(base, []),
    }
    assert len(digests) == 5


def test_processes_get_no_credentials_of_the_user() -> None:
    environment = child_environment({"PATH": "/bin", "HF_TOKEN": "secret", "AWS_SECRET": "s"})
    assert environment == {"PATH": "/bin", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


def test_etcd_asks_for_a_certificate_of_its_own_authority() -> None:
    etcd = flags("etcd")
    assert etcd["--client-cert-auth"] == "true"
    assert etcd["--trusted-ca-file"] == "/state/puna/credentials/etcd-ca.crt"
    assert etcd["--listen-client-urls"] == "https://127.0.0.1:1"


def test_the_api_server_restricts_nodes_and_keeps_no_endpoints() -> None:
    apiserver = flags("apiserver")
    assert apiserver["--authorization-mode"] == "Node,RBAC"
    assert apiserver["--enable-admission-plugins"] == "NodeRestriction"
    assert apiserver["--endpoint-reconciler-type"] == "none"
    assert apiserver["--client-ca-file"] == "/state/puna/credentials/ca.crt"
    assert apiserver["--etcd-cafile"] == "/state/puna/credentials/etcd-ca.crt"
    assert "--audit-log-path" not in apiserver


def test_endpoint_controllers_are_off_and_limits_are_wide() -> None:
    manager = flags("controller-manager")
    assert manager["--controllers"] == (
        "*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller"
    )
    assert (manager["--kube-api-qps"], manager["--kube-api-burst"]) == ("300", "600")


def test_the_audit_policy_names_the_users_and_drops_the_rest() -> None:
    policy = read_json(audit_policy(("operator", "other")))
    assert policy["rules"] == [
        {"level": "Metadata", "users": ["operator", "other"]},
        {"level": "None"},
    ]


def test_the_agent_offers_pods_only_what_the_cluster_is_told() -> None:
    config = agent_config(
        PATHS,
        STATE.model_copy(update={"accelerator": "cuda"}),
        python="python",
        llama_server=("llama",),
        accelerators=2,
    )
    assert config.node_name == "puna-puna"
    assert config.allowed_host_paths == ("/models", "/more", "/state/puna/model-cache")
    assert config.pod_network == "127.77.0.0/16"
    assert config.extended_resources == {"nvidia.com/gpu": 2}
    assert not config.tainted
    by_image = {p.image.rsplit("/", 1)[1]: p for p in config.profiles}
    assert by_image["llama-server"].run == ("llama",)
    assert by_image["llama-server"].drain_slots
    assert by_image["puna"].command == ("puna-fetch",)
    assert by_image["router"].run == ("python", "-P", "-m", "puna_router")
    assert by_image["puna"].run == ("python", "-P", "-m", "puna_fetch")


def test_the_agent_allows_the_networks_that_the_operator_is_told() -> None:
    networks = allowed_networks({"PUNA_ALLOWED_NETWORKS": "10.0.0.0/8, fd00::/8"})
    config = agent_config(
        PATHS, STATE, python="python", llama_server=("l",), accelerators=0, networks=networks
    )
    assert config.allowed_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert AgentConfig.model_validate_json(config.model_dump_json(by_alias=True)) == config
    assert allowed_networks({}) == ()
    with pytest.raises(CommandError, match="PUNA_ALLOWED_NETWORKS: 'x' is not a network"):
        allowed_networks({"PUNA_ALLOWED_NETWORKS": "x"})


def test_the_agent_allows_what_the_operator_renders() -> None:
    fetch = FetchRequest(
        uri="file:///srv/models/a.gguf",
        sha256="0" * 64,
        destination="/source/a.gguf",
        credentials_directory="/c",
        ca_file="/c/ca.crt",
        allowed_networks=("10.0.0.0/8",),
        record_directory="/c/records",
        max_bytes=1,
    )
    router = build_deployment(
        "team", RouterSettings(tls_secret="t"), account_uid="u", backend_key="k", previous=None
    )
    assert router is not None
    rendered = [
        (FETCH_FLAGS, fetch.to_args()),
        *((ROUTER_FLAGS, c["args"][1:]) for c in router["spec"]["template"]["spec"]["containers"]),
    ]
    for known, arguments in rendered:
        assert {argument.partition("=")[0] for argument in arguments} <= set(known)


def test_the_operator_publishes_the_front_and_binds_pod_addresses() -> None:
    settings = operator_settings(PATHS, STATE, {"PUNA_WORKERS": "3", "PUNA_KUBE_BIN": "x"})
    assert settings == {
        "PUNA_PUBLIC_URL": "http://127.0.0.1:6/namespaces/{namespace}/v1",
        "PUNA_MODEL_CACHE_HOST_PATH": "/state/puna/model-cache",
        "PUNA_MODEL_FOLDERS": "/models:/more",
        "PUNA_LISTEN": "127.0.0.1:5",
        "PUNA_ROUTER_BIND_ADDRESS": "$(POD_IP)",
        "PUNA_TRAINING_RENDEZVOUS": "Volume",
        "PUNA_WORKERS": "3",
    }
    assert operator(PATHS, STATE, "python", {}).argv == ("python", "-m", "puna")
