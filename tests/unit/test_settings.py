from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hack.generate.settings import variables
from puna.api.pool import Accelerator, Resources
from puna.settings import (
    DEFAULT_ACCELERATORS,
    DEFAULT_ROUTER_RESOURCES,
    AcceleratorProfile,
    RouterSettings,
    Settings,
)
from puna.variables import SettingsError

READ: dict[str, tuple[str, Settings]] = {
    "PUNA_WATCH_NAMESPACE": ("team", Settings(watch_namespace="team")),
    "PUNA_NAMESPACE": ("puna-system", Settings(namespace="puna-system")),
    "PUNA_FETCH_IMAGE": (
        "registry.example/puna:2",
        Settings(fetch_image="registry.example/puna:2"),
    ),
    "PUNA_ACCELERATORS": (
        '{"cuda": {"runtimeClass": "nvidia"}}',
        Settings(
            accelerators=dict(DEFAULT_ACCELERATORS)
            | {
                Accelerator.CUDA: replace(
                    DEFAULT_ACCELERATORS[Accelerator.CUDA], runtime_class="nvidia"
                )
            }
        ),
    ),
    "PUNA_ROUTER_IMAGE": ("r:2", Settings(router=RouterSettings(image="r:2"))),
    "PUNA_ROUTER_REPLICAS": ("3", Settings(router=RouterSettings(replicas=3))),
    "PUNA_ROUTER_BIND_ADDRESS": (
        "$(POD_IP)",
        Settings(router=RouterSettings(bind_address="$(POD_IP)")),
    ),
    "PUNA_ROUTER_SERVICE_TYPE": (
        "NodePort",
        Settings(router=RouterSettings(service_type="NodePort")),
    ),
    "PUNA_ROUTER_DRAIN_SECONDS": ("0", Settings(router=RouterSettings(drain_seconds=0))),
    "PUNA_ROUTER_TLS_SECRET": (
        "chat-tls",
        Settings(
            router=RouterSettings(tls_secret="chat-tls"),
            public_url="https://{endpoint}.{namespace}.svc/v1",
        ),
    ),
    "PUNA_ROUTER_RESOURCES": (
        '{"envoy": {"requests": {"cpu": 2}, "limits": {"memory": "1Gi"}}}',
        Settings(
            router=RouterSettings(
                resources=dict(DEFAULT_ROUTER_RESOURCES)
                | {
                    "envoy": Resources(
                        requests={"cpu": "2", "memory": "96Mi"}, limits={"memory": "1Gi"}
                    )
                }
            )
        ),
    ),
    "PUNA_ROUTER_NODE_SELECTOR": (
        '{"zone": "a"}',
        Settings(router=RouterSettings(node_selector={"zone": "a"})),
    ),
    "PUNA_ROUTER_TOLERATIONS": (
        '[{"key": "edge", "operator": "Exists", "tolerationSeconds": 5}]',
        Settings(
            router=RouterSettings(
                tolerations=({"key": "edge", "operator": "Exists", "tolerationSeconds": 5},)
            )
        ),
    ),
    "PUNA_PUBLIC_URL": (
        "http://127.0.0.1:8080/namespaces/{namespace}/endpoints/{endpoint}/v1",
        Settings(public_url="http://127.0.0.1:8080/namespaces/{namespace}/endpoints/{endpoint}/v1"),
    ),
    "PUNA_MODEL_FOLDERS": (
        "/srv/models/:/opt:/",
        Settings(model_folders=("/srv/models", "/opt", "/")),
    ),
    "PUNA_TRAINING_RENDEZVOUS": ("Volume", Settings(training_rendezvous="Volume")),
    "PUNA_MODEL_CACHE_HOST_PATH": (
        "/var/cache/puna",
        Settings(model_cache_host_path="/var/cache/puna"),
    ),
    "PUNA_ALLOWED_NETWORKS": (
        "10.0.0.0/8, fd00::/8",
        Settings(allowed_networks=("10.0.0.0/8", "fd00::/8")),
    ),
    "PUNA_MODEL_MAX_BYTES": ("5000000000", Settings(model_max_bytes=5_000_000_000)),
    "PUNA_PROGRESS_DEADLINE_SECONDS": ("60", Settings(progress_deadline_seconds=60)),
    "PUNA_TERMINATION_GRACE_SECONDS": ("0", Settings(termination_grace_seconds=0)),
    "PUNA_PROMETHEUS_URL": (
        "https://prometheus.example.org/tenant",
        Settings(prometheus_url="https://prometheus.example.org/tenant"),
    ),
    "PUNA_PROMETHEUS_TOKEN_FILE": (
        "/etc/puna/prometheus/token",
        Settings(prometheus_token_file="/etc/puna/prometheus/token"),
    ),
    "PUNA_WORKERS": ("2", Settings(workers=2)),
    "PUNA_LISTEN": ("127.0.0.1:0", Settings(listen="127.0.0.1:0")),
}
WRONG: list[tuple[str, str, str]] = [
    ("PUNA_ROUTER_REPLICAS", "0", "0 is less than 1"),
    ("PUNA_ROUTER_REPLICAS", "two", "'two' is not a whole number"),
    ("PUNA_ROUTER_DRAIN_SECONDS", "-1", "-1 is less than 0"),
    ("PUNA_ROUTER_SERVICE_TYPE", "Headless", "'Headless' is none of ClusterIP, NodePort, "),
    ("PUNA_TRAINING_RENDEZVOUS", "Dns", "'Dns' is none of Service, Volume"),
    ("PUNA_ROUTER_TLS_SECRET", "Chat_TLS", "'Chat_TLS' is not the name of an object"),
    ("PUNA_NAMESPACE", "Puna", "'Puna' is not the name of an object"),
    ("PUNA_ROUTER_RESOURCES", '{"sidecar": {}}', ".sidecar.[key]: Input should be 'control', "),
    ("PUNA_ROUTER_RESOURCES", '{"envoy": {"limit": {}}}', ".envoy.limit: "),
    ("PUNA_ROUTER_RESOURCES", '{"envoy": {"limits": {"memory": "lots"}}}', ".envoy.limits.memory"),
    ("PUNA_ROUTER_NODE_SELECTOR", '["zone"]', "PUNA_ROUTER_NODE_SELECTOR: "),
    ("PUNA_ROUTER_TOLERATIONS", '{"key": "edge"}', "PUNA_ROUTER_TOLERATIONS: "),
    ("PUNA_PROGRESS_DEADLINE_SECONDS", "0", "0 is less than 1"),
    ("PUNA_TERMINATION_GRACE_SECONDS", "1.5", "'1.5' is not a whole number"),
    ("PUNA_PROMETHEUS_URL", "prometheus:9090", "is not an http or https address"),
    ("PUNA_PROMETHEUS_URL", "http://[::1:9090", "is not an http or https address"),
    ("PUNA_PROMETHEUS_URL", "http:///api", "is not an http or https address"),
    ("PUNA_PROMETHEUS_URL", "http://prometheus:9090/graph?g0", "is not an http or https address"),
    ("PUNA_PROMETHEUS_TOKEN_FILE", "token", "'token' is not an absolute path"),
    ("PUNA_WORKERS", "0", "0 is less than 1"),
    ("PUNA_MODEL_MAX_BYTES", "0", "0 is less than 1"),
    ("PUNA_MODEL_MAX_BYTES", "5Gi", "'5Gi' is not a whole number"),
    ("PUNA_MODEL_FOLDERS", "/srv:models", "'models' is not an absolute path"),
    ("PUNA_MODEL_FOLDERS", "/srv/../etc", "'/srv/../etc' is not an absolute path"),
    ("PUNA_MODEL_CACHE_HOST_PATH", "cache", "'cache' is not an absolute path"),
    ("PUNA_ALLOWED_NETWORKS", "10.0.0.0/8,localhost", "'localhost' is not a network"),
    ("PUNA_ALLOWED_NETWORKS", "10.0.0.1/8", "'10.0.0.1/8' is not a network"),
    ("PUNA_PUBLIC_URL", "http://{host}/v1", "{host}"),
    ("PUNA_PUBLIC_URL", "http://{/v1", "http://{/v1"),
    ("PUNA_LISTEN", "8081", "'8081' is not <address>:<port>"),
    ("PUNA_LISTEN", "0.0.0.0:http", "'0.0.0.0:http' is not <address>:<port>"),
    ("PUNA_LISTEN", "0.0.0.0:70000", "'0.0.0.0:70000' is not <address>:<port>"),
    ("PUNA_ACCELERATORS", "{", "Invalid JSON"),
    ("PUNA_ACCELERATORS", "[]", "an object"),
    ("PUNA_ACCELERATORS", '{"tpu": {}}', ".tpu.[key]: Input should be 'cpu', 'metal' or 'cuda'"),
    ("PUNA_ACCELERATORS", '{"cuda": 1}', ".cuda: "),
    ("PUNA_ACCELERATORS", '{"cuda": {"gpuLayer": 1}}', ".cuda.gpuLayer: "),
    ("PUNA_ACCELERATORS", '{"cuda": {"gpuLayers": "all"}}', ".cuda.gpuLayers: "),
    ("PUNA_ACCELERATORS", '{"cuda": {"gpuLayers": -1}}', ".cuda.gpuLayers: "),
    ("PUNA_ACCELERATORS", '{"cuda": {"image": ""}}', ".cuda.image: "),
    ("PUNA_ACCELERATORS", '{"cuda": {"image": null}}', ".cuda.image: "),
    ("PUNA_ACCELERATORS", '{"cuda": {"nodeSelector": ["a"]}}', ".cuda.nodeSelector: "),
    ("PUNA_ACCELERATORS", '{"cuda": {"tolerations": "a"}}', ".cuda.tolerations: "),
]


def test_every_variable_is_tried() -> None:
    assert set(READ) == set(variables())


@pytest.mark.parametrize(("name", "case"), READ.items(), ids=READ)
def test_a_variable_sets_its_setting(name: str, case: tuple[str, Settings]) -> None:
    value, expected = case
    assert Settings.from_env({name: value}) == expected


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_value_is_refused_by_the_variables_name(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({name: value})
    assert str(error.value).startswith(name)
    assert words in str(error.value)


@pytest.mark.parametrize("environment", [{}, dict.fromkeys(READ, ""), {"OTHER": "x"}])
def test_what_is_not_set_has_its_default(environment: dict[str, str]) -> None:
    assert Settings.from_env(environment) == Settings()


def test_every_member_of_a_profile_can_be_replaced() -> None:
    profile: dict[str, Any] = {
        "image": "registry.example/llama-server:2",
        "nodeSelector": {"kind": "fast"},
        "tolerations": [{"key": "fast", "operator": "Exists"}],
        "resourceName": None,
        "runtimeClass": "fast",
        "gpuLayers": 12,
        "trainerImage": "registry.example/trainer:2",
    }
    made = Settings.from_env({"PUNA_ACCELERATORS": json.dumps({"cuda": profile})})
    assert made.accelerators[Accelerator.CUDA] == AcceleratorProfile(
        image="registry.example/llama-server:2",
        node_selector={"kind": "fast"},
        tolerations=({"key": "fast", "operator": "Exists"},),
        resource_name=None,
        runtime_class="fast",
        gpu_layers=12,
        trainer_image="registry.example/trainer:2",
    )
    assert made.accelerators[Accelerator.CPU] == DEFAULT_ACCELERATORS[Accelerator.CPU]


def test_a_public_url_that_is_set_is_shown_as_it_is() -> None:
    made = Settings.from_env(
        {"PUNA_ROUTER_TLS_SECRET": "chat-tls", "PUNA_PUBLIC_URL": "http://llm.example/v1"}
    )
    assert made.public_url == "http://llm.example/v1"
