"""A Deployment of llama-server on a node agent."""

from __future__ import annotations

import time
from pathlib import Path

from tests.cluster import ControlPlane, eventually
from tests.node.agents import (
    AgentProcess,
    Client,
    backend_key,
    deployment,
    is_ready,
    llama,
    llama_volumes,
    pod_spec,
    timed,
)


def test_a_deployment_becomes_available_scales_and_goes(
    plane: ControlPlane, agent: AgentProcess, ns: str, models: Path
) -> None:
    client = Client(plane, ns)
    spec = pod_spec(agent.node, llama(models / "tiny.gguf"), volumes=llama_volumes(models))
    plane.apply(backend_key(ns))

    began = time.monotonic()
    plane.apply(deployment(ns, spec))
    path = f"/apis/apps/v1/namespaces/{ns}/deployments/d"
    eventually(
        lambda: (plane.get(path) or {}).get("status", {}).get("availableReplicas") == 1,
        what=f"available: {client.pods()} {agent.log.read_text()}",
    )
    timed("apply -> available", began)
    log = plane.kubectl("logs", "deployment/d", "-n", ns)
    assert "listening" in log

    plane.kubectl("scale", "deployment/d", "--replicas=3", "-n", ns)
    eventually(lambda: sum(map(is_ready, client.pods())) == 3, what="three ready")
    addresses = {pod["status"]["podIP"] for pod in client.pods()}
    assert len(addresses) == 3
    assert len(agent.processes()) == 3

    began = time.monotonic()
    plane.kubectl("delete", "deployment/d", "-n", ns, "--wait=false")
    eventually(lambda: not client.pods(), what="no Pods")
    timed("delete -> gone", began)
    assert agent.processes() == []
