from __future__ import annotations

from typing import Any

import pytest

from puna.api.pool import Accelerator, Pool
from puna.core.naming import endpoint_port
from puna.core.plan import Manifest
from puna.endpoint.pod import base_pod_spec, pod_template
from puna.settings import DEFAULT_ACCELERATORS, AcceleratorProfile
from tests.factories import NAME, NAMESPACE, effective, endpoint, settings


def base(**overrides: Any) -> Manifest:
    return base_pod_spec(effective(endpoint()), namespace=NAMESPACE, settings=settings(**overrides))


def template(
    *, threads: int | None = None, profile: AcceleratorProfile | None = None, **pool: Any
) -> Manifest:
    wanted = Pool.model_validate({"name": "gpu", "accelerator": "cpu"} | pool)
    return pod_template(
        base(),
        endpoint=NAME,
        process="aaaaaaaa",
        threads=threads,
        pool=wanted,
        profile=profile or DEFAULT_ACCELERATORS[wanted.accelerator],
        backend_key="0123abcd",
    )


def server(made: Manifest) -> Manifest:
    container: Manifest = made["spec"]["containers"][0]
    return container


def test_a_server_has_the_port_of_its_endpoint() -> None:
    port = endpoint_port(NAMESPACE, NAME)
    assert base()["containers"][0]["ports"] == [
        {"name": "http", "containerPort": port, "protocol": "TCP"}
    ]


def test_liveness_does_not_look_at_slots_or_health() -> None:
    assert base()["containers"][0]["livenessProbe"]["tcpSocket"] == {"port": "http"}


def test_a_long_load_is_no_failure() -> None:
    probe = base()["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 7200


def test_both_containers_tell_the_cause_of_their_end() -> None:
    spec = base()
    containers = (*spec["initContainers"], *spec["containers"])
    assert {item["terminationMessagePolicy"] for item in containers} == {"FallbackToLogsOnError"}


def test_every_container_passes_the_restricted_profile() -> None:
    spec = base()
    for container in (*spec["initContainers"], *spec["containers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize(("grace", "rounds"), [(60, 47), (10, 0), (0, 0)])
def test_a_drain_ends_before_the_pod_is_killed(grace: int, rounds: int) -> None:
    made = base(termination_grace_seconds=grace)
    script = made["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert made["terminationGracePeriodSeconds"] == grace
    assert f"[ $n -lt {rounds} ]" in script


def test_a_pool_lays_its_hardware_over_the_stored_pod() -> None:
    profile = AcceleratorProfile(
        image="registry.example/llama-server:1",
        node_selector={"kind": "fast"},
        tolerations=({"key": "fast", "operator": "Exists"},),
        resource_name="example.com/fast",
        runtime_class="fast",
        gpu_layers=99,
    )
    made = template(
        profile=profile,
        accelerator="cuda",
        acceleratorCount=2,
        resources={"requests": {"cpu": "2"}, "limits": {"cpu": "3"}},
        nodeSelector={"zone": "a"},
    )
    assert server(made)["image"] == "registry.example/llama-server:1"
    assert server(made)["resources"] == {
        "requests": {"cpu": "2", "example.com/fast": "2"},
        "limits": {"cpu": "3", "example.com/fast": "2"},
    }
    assert server(made)["args"][-4:] == ["--gpu-layers", "99", "--threads", "3"]
    assert made["spec"]["nodeSelector"] == {"kind": "fast", "zone": "a"}
    assert made["spec"]["tolerations"] == [{"key": "fast", "operator": "Exists"}]
    assert made["spec"]["runtimeClassName"] == "fast"


def test_a_pool_without_wishes_adds_nothing_empty() -> None:
    made = template()
    assert "resources" not in server(made)
    assert not {"nodeSelector", "tolerations", "runtimeClassName"} & set(made["spec"])


def test_servers_of_one_pool_are_spread_over_hosts() -> None:
    (constraint,) = template()["spec"]["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["labelSelector"]["matchLabels"] == {
        "puna.dev/endpoint": "chat",
        "puna.dev/pool": "gpu",
        "puna.dev/process": "aaaaaaaa",
    }


def test_another_backend_key_rolls_the_pods() -> None:
    annotations = template()["metadata"]["annotations"]
    assert annotations == {"puna.dev/backend-key-digest": "0123abcd"}


def test_the_stored_pod_is_left_as_it_is() -> None:
    stored = base()
    pool = Pool(name="gpu", accelerator=Accelerator.CUDA)
    pod_template(
        stored,
        endpoint=NAME,
        process="aaaaaaaa",
        threads=1,
        pool=pool,
        profile=DEFAULT_ACCELERATORS[Accelerator.CUDA],
        backend_key="0123abcd",
    )
    assert stored == base()
