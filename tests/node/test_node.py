"""The Node of an agent: what it reports, what its endpoint answers, what happens without it."""

from __future__ import annotations

import ssl

import httpx
import psutil

from tests.cluster import ControlPlane, eventually
from tests.node.agents import AgentProcess, Client, is_ready, pod, pod_spec, shell


def endpoint(plane: ControlPlane, agent: AgentProcess, user: str | None) -> httpx.Client:
    node = plane.get(f"/api/v1/nodes/{agent.node}")
    assert node is not None
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    context = ssl.create_default_context(cafile=str(plane.paths.certificate("ca")))
    if user is not None:
        context.load_cert_chain(plane.paths.certificate(user), plane.paths.key(user))
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False)


def test_the_node_tells_what_it_is(plane: ControlPlane, shared_agent: AgentProcess) -> None:
    node = plane.get(f"/api/v1/nodes/{shared_agent.node}")
    assert node is not None
    labels, status = node["metadata"]["labels"], node["status"]
    assert labels["puna.dev/accelerator"] == "cpu"
    assert labels["puna.dev/runtime"] == "native"
    assert labels["kubernetes.io/hostname"] == shared_agent.node
    assert status["nodeInfo"]["kubeletVersion"] == "v1.36.0-puna-node"
    assert int(status["capacity"]["cpu"]) >= 1
    assert status["allocatable"]["pods"] == "64"
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions["Ready"] == "True"
    assert conditions["PIDPressure"] == "False"
    lease = plane.get(
        f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{shared_agent.node}"
    )
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == shared_agent.node
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


def test_the_lease_is_renewed_and_a_deleted_node_comes_back(
    plane: ControlPlane, agent: AgentProcess
) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{agent.node}"
    first = (plane.get(path) or {})["spec"]["renewTime"]
    eventually(lambda: (plane.get(path) or {})["spec"]["renewTime"] != first)
    plane.kubectl("delete", "node", agent.node)
    eventually(lambda: plane.get(f"/api/v1/nodes/{agent.node}"), seconds=30, what="the node again")


def test_the_endpoint_serves_those_whom_the_api_server_allows(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, shell("echo x; sleep 600"))))
    client.wait(is_ready)
    logs = f"/containerLogs/{client.namespace}/pod/main"
    with endpoint(plane, shared_agent, None) as nobody:
        assert nobody.get("/healthz").text == "ok"
        assert nobody.get(logs).status_code == 401
        assert nobody.get("/pods").status_code == 401
    with endpoint(plane, shared_agent, "front") as stranger:
        assert stranger.get(logs).status_code == 403
    with endpoint(plane, shared_agent, "apiserver-kubelet-client") as server:
        eventually(lambda: server.get(logs).text == "x\n")
        names = [p["metadata"]["name"] for p in server.get("/pods").json()["items"]]
        assert "pod" in names
        metrics = server.get("/metrics/resource").text
        labels = f'container="main",namespace="{client.namespace}",pod="pod"'
        assert f"container_memory_working_set_bytes{{{labels}}}" in metrics
        assert "node_cpu_usage_seconds_total " in metrics
        assert server.get("/exec/a/b/c").status_code == 501
        assert server.get(f"/containerLogs/{client.namespace}/none/main").status_code == 404


def test_the_agent_is_small(shared_agent: AgentProcess) -> None:
    assert shared_agent.process is not None
    process = psutil.Process(shared_agent.process.pid)
    resident = process.memory_info().rss / 2**20
    print(f"agent RSS: {resident:.0f} MiB")  # noqa: T201
    assert resident < 120
