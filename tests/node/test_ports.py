"""Ports and addresses of Pods."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.cluster import ControlPlane
from tests.node.agents import (
    AgentProcess,
    Client,
    container_state,
    is_ready,
    new_agent,
    pod,
    pod_spec,
    shell,
    waiting_reason,
)


def test_a_taken_port_is_named_and_the_pod_starts_when_it_is_free(
    plane: ControlPlane, folder: Path, models: Path, client: Client
) -> None:
    agent = new_agent(plane, folder, models, name="node-ports", pod_network=None)
    agent.start()
    agent.wait_ready()
    try:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen(1)
            port = holder.getsockname()[1]
            container = shell("sleep 600", ports=[{"containerPort": port}])
            plane.apply(pod(client.namespace, pod_spec(agent.node, container)))
            found = client.wait(lambda p: waiting_reason(p) == "PortInUse")
            message = container_state(found)["waiting"]["message"]
            assert message == f"port {port} of 127.0.0.1 cannot be used: Address already in use"
            assert found["status"]["phase"] == "Pending"
        found = client.wait(is_ready)
        assert found["status"]["podIP"] == "127.0.0.1"
        assert found["status"]["containerStatuses"][0]["restartCount"] == 0
    finally:
        agent.end()


def test_two_agents_never_share_an_address_range(
    plane: ControlPlane, agent: AgentProcess, shared_agent: AgentProcess, client: Client
) -> None:
    for index, node in enumerate((agent.node, shared_agent.node)):
        plane.apply(pod(client.namespace, pod_spec(node, shell("sleep 600")), name=f"p{index}"))
    first = client.wait(is_ready, "p0")["status"]["podIP"]
    second = client.wait(is_ready, "p1")["status"]["podIP"]
    assert first.rpartition(".")[0] != second.rpartition(".")[0]
