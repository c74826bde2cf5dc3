"""How long a bound Pod waits for its process."""

from __future__ import annotations

import json
import ssl
import statistics
import time
from datetime import datetime
from pathlib import Path

import httpx

from tests.cluster import ControlPlane, eventually
from tests.node.agents import AgentProcess, Client, backend_key, pod, pod_spec, shell

PODS = 7


def test_the_process_of_a_bound_pod_starts_at_once(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    ns = client.namespace
    plane.apply(backend_key(ns))
    container = shell("exec sleep 600", volumeMounts=[{"name": "key", "mountPath": "/key"}])
    volumes = [{"name": "key", "secret": {"secretName": "backend-key"}}]
    spec = pod_spec(
        shared_agent.node, container, volumes=volumes, automountServiceAccountToken=True
    ) | {"nodeName": shared_agent.node}
    delays = []
    with admin(plane) as http:
        for index in range(PODS):
            bound = time.time()
            body = pod(ns, spec, name=f"p{index}")
            answer = http.post(f"/api/v1/namespaces/{ns}/pods", json=body)
            uid = answer.raise_for_status().json()["metadata"]["uid"]
            run = Path(shared_agent.config.directory, "p", uid[:8], "c/main/1/run.json")
            eventually(run.exists, what="the process")
            text = json.loads(run.read_text())["started_at"]
            delays.append(datetime.fromisoformat(text).timestamp() - bound)
    median = statistics.median(delays)
    print(  # noqa: T201
        f"Pod created with nodeName -> process started: median {median * 1000:.0f} ms "
        f"of {sorted(round(d * 1000) for d in delays)}"
    )
    # Whoever learns of a Pod by the next list alone waits for minutes.
    assert median < 10


def admin(plane: ControlPlane) -> httpx.Client:
    """The administrator, without the start of a kubectl."""
    context = ssl.create_default_context(cafile=str(plane.paths.certificate("ca")))
    context.load_cert_chain(plane.paths.certificate("admin"), plane.paths.key("admin"))
    return httpx.Client(base_url=plane.server, verify=context, trust_env=False)
