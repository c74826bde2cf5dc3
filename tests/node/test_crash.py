"""Crashes: of a process, of its shim, of the agent."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import psutil

from tests.cluster import ControlPlane, eventually
from tests.node.agents import (
    AgentProcess,
    Client,
    Manifest,
    backend_key,
    container_state,
    container_status,
    deployment,
    is_ready,
    llama,
    llama_volumes,
    pod,
    pod_spec,
    restarts,
    shell,
    timed,
)


def test_a_killed_llama_server_is_unready_at_once_and_comes_back(
    plane: ControlPlane, agent: AgentProcess, client: Client, models: Path
) -> None:
    plane.apply(backend_key(client.namespace))
    # Nobody asks it for a long while, so what is known of its end is known by itself.
    rare = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 600}
    probes: dict[str, Any] = dict.fromkeys(
        ("startupProbe", "readinessProbe", "livenessProbe"), rare
    )
    container = llama(models / "tiny.gguf", **probes)
    spec = pod_spec(agent.node, container, volumes=llama_volumes(models))
    plane.apply(deployment(client.namespace, spec))
    eventually(lambda: [is_ready(p) for p in client.pods()] == [True], what="ready")
    name = client.pods()[0]["metadata"]["name"]
    (process,) = agent.processes()

    began = time.monotonic()
    process.send_signal(signal.SIGKILL)
    client.wait(lambda p: not is_ready(p), name)
    timed("kill -9 -> NotReady", began)
    found = client.wait(is_ready, name)
    timed("kill -9 -> Ready again", began)
    status = container_status(found, "llama-server")
    assert status["restartCount"] == 1
    last = status["lastState"]["terminated"]
    assert (last["exitCode"], last["signal"], last["reason"]) == (137, 9, "Error")
    assert agent.processes()[0].pid != process.pid


def test_processes_survive_the_agent_and_are_adopted(
    plane: ControlPlane, agent: AgentProcess, client: Client
) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    container = shell("echo hi; exec sleep 600", startupProbe=probe, readinessProbe=probe)
    plane.apply(pod(client.namespace, pod_spec(agent.node, container)))
    before = client.wait(is_ready)
    time.sleep(1.1)  # times of conditions have whole seconds
    (process,) = agent.processes()
    agent.kill()
    assert process.is_running()
    agent.start_again()
    # Asked before it may have learnt which Pods it has.
    assert plane.kubectl("logs", "pod", "-n", client.namespace) == "hi\n"
    after = client.wait(is_ready)
    assert container_status(after)["restartCount"] == 0
    assert after["status"]["podIP"] == before["status"]["podIP"]
    # It never stopped being ready.
    assert ready_since(after) == ready_since(before)
    assert [p.pid for p in agent.processes()] == [process.pid]
    # It is still its own: an end is noticed and restarted.
    process.kill()
    client.wait(lambda p: restarts(p) == 1 and is_ready(p))


def test_an_end_while_the_agent_was_down_is_reported_with_its_code(
    plane: ControlPlane, agent: AgentProcess, client: Client, tmp_path: Path
) -> None:
    flag = tmp_path / "end"
    container = shell(f"until [ -e {flag} ]; do sleep 0.05; done; echo last words; exit 9")
    spec = pod_spec(agent.node, container, restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    client.wait(is_ready)
    agent.kill()
    flag.touch()
    eventually(lambda: agent.processes() == [], what="the end")
    agent.start_again()
    found = client.wait(lambda p: p["status"]["phase"] == "Failed")
    assert container_state(found)["terminated"]["exitCode"] == 9
    assert plane.kubectl("logs", "pod", "-n", client.namespace) == "last words\n"


def test_a_pod_deleted_while_the_agent_was_down_is_ended_at_its_start(
    plane: ControlPlane, agent: AgentProcess, client: Client
) -> None:
    plane.apply(pod(client.namespace, pod_spec(agent.node, shell("exec sleep 600"))))
    client.wait(is_ready)
    agent.kill()
    plane.kubectl("delete", "pod", "pod", "-n", client.namespace, "--force", "--grace-period=0")
    assert len(agent.processes()) == 1
    agent.start()
    eventually(lambda: agent.processes() == [], what="the end of the process")


def test_a_forced_deletion_ends_the_process(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    marker = f"forced-{client.namespace}"
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, shell(f": {marker}; sleep 600"))))
    client.wait(is_ready)
    assert marked(marker)
    plane.kubectl("delete", "pod", "pod", "-n", client.namespace, "--force", "--grace-period=0")
    eventually(lambda: not marked(marker), what="the end of the process")


def test_a_process_goes_when_its_shim_is_killed(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    marker = f"shim-{client.namespace}"
    script = f": {marker}; trap '' TERM; sleep 600"
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, shell(script))))
    client.wait(is_ready)
    (process,) = marked(marker)
    parent = process.parent()
    assert parent is not None
    parent.kill()
    found = client.wait(lambda p: restarts(p) == 1 and is_ready(p))
    last = container_status(found)["lastState"]["terminated"]
    assert last["reason"] == "ContainerStatusUnknown"
    assert [p.pid for p in marked(marker)] != [process.pid]
    assert len(marked(marker)) == 1


def test_what_a_container_leaves_behind_ends_with_it(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    marker = f"orphan-{client.namespace}"
    script = f"sh -c ': {marker}; sleep 600' & sleep 0.5; exit 0"
    spec = pod_spec(shared_agent.node, shell(script), restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    client.wait(lambda p: p["status"].get("phase") == "Succeeded")
    assert marked(marker) == []


def test_stop_pods_ends_everything_without_an_api_server(
    plane: ControlPlane, agent: AgentProcess, client: Client
) -> None:
    stubborn = shell("trap '' TERM; sleep 600 & wait; wait")
    plane.apply(pod(client.namespace, pod_spec(agent.node, stubborn)))
    plane.apply(pod(client.namespace, pod_spec(agent.node, shell("exec sleep 600")), name="other"))
    client.wait(is_ready)
    client.wait(is_ready, "other")
    assert len(agent.processes()) >= 2
    assert agent.process is not None
    everything = psutil.Process(agent.process.pid).children(recursive=True)
    agent.stop_pods()
    assert agent.processes() == []
    assert agent.process.wait(timeout=15) == 0
    eventually(lambda: not any(p.is_running() for p in everything), what=str(everything))
    # The next agent starts them again, as after a reboot of a node.
    agent.start()
    client.wait(lambda p: restarts(p) == 1 and is_ready(p))


def test_a_second_agent_of_the_folder_is_refused(agent: AgentProcess) -> None:
    first = agent.process
    agent.start()
    assert agent.process is not None
    assert agent.process.wait(timeout=30) == 1
    assert "another agent runs in" in agent.log.read_text()
    agent.process = first


def ready_since(found: Manifest) -> str:
    since: str = next(
        c["lastTransitionTime"] for c in found["status"]["conditions"] if c["type"] == "Ready"
    )
    return since


def marked(marker: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if any(marker in text for text in arguments) and "puna_node" not in " ".join(arguments):
            found.append(process)
    # A shell that runs one command at its end may have become it, or still be its parent.
    pids = {p.pid for p in found}
    return [p for p in found if (q := p.parent()) is None or q.pid not in pids]
