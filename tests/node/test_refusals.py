"""What a node agent does not run, and how it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster import ControlPlane
from tests.node.agents import (
    IMAGE_PYTHON,
    AgentProcess,
    Client,
    backend_key,
    container_state,
    llama,
    llama_volumes,
    pod,
    pod_spec,
    shell,
    waiting_reason,
)

PYTHON = {"name": "main", "image": IMAGE_PYTHON, "args": ["-c", "1"]}


@pytest.mark.parametrize(
    ("container", "spec", "expected"),
    [
        (
            shell("x", image="example.test/other:1"),
            {},
            "spec.containers[0].image: no profile of this node runs example.test/other",
        ),
        (
            shell("x", command=["/bin/bash"]),
            {},
            "spec.containers[0].command: profiles of example.test/shell on this node allow: none",
        ),
        (
            PYTHON,
            {},
            (
                "spec.containers[0].command: profiles of example.test/python on this node allow: "
                "python"
            ),
        ),
        (
            shell("x"),
            {"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]},
            "spec.volumes[0].hostPath.path: /etc is outside the folders allowed here",
        ),
        (
            shell("x", securityContext={"privileged": True}),
            {},
            "spec.containers[0].securityContext.privileged: not allowed on this node",
        ),
        (shell("x"), {"hostPID": True}, "spec.hostPID: not allowed on this node"),
    ],
    ids=["image", "command", "no command", "hostPath", "privileged", "hostPID"],
)
def test_a_pod_outside_the_settings_waits_with_a_reason(  # noqa: PLR0917
    plane: ControlPlane,
    shared_agent: AgentProcess,
    client: Client,
    container: dict[str, Any],
    spec: dict[str, Any],
    expected: str,
) -> None:
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, container, **spec)))
    found = client.wait(lambda p: waiting_reason(p) == "NotAllowed")
    assert container_state(found)["waiting"]["message"] == expected
    assert found["status"]["phase"] == "Pending"
    assert found["status"]["reason"] == "NotAllowed"
    plane.kubectl("delete", "pod", "pod", "-n", client.namespace, "--wait=false")
    client.gone()


def test_a_system_namespace_is_refused(plane: ControlPlane, shared_agent: AgentProcess) -> None:
    plane.apply(pod("kube-public", pod_spec(shared_agent.node, shell("x")), name="intruder"))
    client = Client(plane, "kube-public")
    found = client.wait(lambda p: waiting_reason(p) == "NotAllowed", "intruder")
    assert "kube-public is a system namespace" in container_state(found)["waiting"]["message"]
    plane.kubectl("delete", "pod", "intruder", "-n", "kube-public", "--wait=false")
    client.gone("intruder")


def test_a_llama_server_may_not_run_tools_or_leave_its_folders(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client, models: Path
) -> None:
    plane.apply(backend_key(client.namespace))
    cases = {
        "tools": ["--tools", "all"],
        "log": ["--log-file", "/var/elsewhere"],
        "path": ["--model", "/models/../../etc/passwd"],
    }
    for name, extra in cases.items():
        container = llama(models / "tiny.gguf")
        container["args"] += extra
        spec = pod_spec(shared_agent.node, container, volumes=llama_volumes(models))
        plane.apply(pod(client.namespace, spec, name=name))
    for name in cases:
        client.wait(lambda p: waiting_reason(p, "llama-server") == "NotAllowed", name)


def test_no_program_is_told_what_to_load_or_where_to_reach(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    preload = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"PRELOAD": "/x.so"}}
    plane.apply(preload | {"metadata": {"name": "loader", "namespace": client.namespace}})
    from_config_map = [{"prefix": "LD_", "configMapRef": {"name": "loader"}}]
    cases = {
        "env": (
            shell("x", env=[{"name": "PYTHONPATH", "value": "/x"}]),
            "env: PYTHONPATH may not be set by a Pod on this node",
        ),
        "from": (
            shell("x", envFrom=from_config_map),
            "env: LD_PRELOAD may not be set by a Pod on this node",
        ),
        "path": (
            PYTHON | {"command": ["python"], "args": ["-c", "1", "--destination=/etc/x"]},
            "args: --destination=/etc/x is outside the Pod's volumes",
        ),
        "network": (
            PYTHON | {"command": ["python"], "args": ["-c", "1", "--allow-network=10.0.0.0/8"]},
            (
                "args: --allow-network=10.0.0.0/8: 10.0.0.0/8 is not among the networks allowed "
                "on this node"
            ),
        ),
    }
    for name, (container, _) in cases.items():
        plane.apply(pod(client.namespace, pod_spec(shared_agent.node, container), name=name))
    for name, (_, expected) in cases.items():
        found = client.wait(lambda p: waiting_reason(p) == "NotAllowed", name)
        assert container_state(found)["waiting"]["message"] == expected


def test_a_link_out_of_an_allowed_folder_is_refused(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client, models: Path
) -> None:
    link = models / f"link-{client.namespace}"
    link.symlink_to("/etc")
    volumes = [{"name": "v", "hostPath": {"path": str(link)}}]
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, shell("x"), volumes=volumes)))
    found = client.wait(lambda p: waiting_reason(p) == "CreateContainerConfigError")
    message = container_state(found)["waiting"]["message"]
    assert "leads out of the folders allowed on this node" in message
