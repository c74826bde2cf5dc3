"""`kubectl logs` of Pods on a node agent."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil

from tests.cluster import ControlPlane, eventually
from tests.node.agents import (
    AgentProcess,
    Client,
    container_state,
    is_ready,
    pod,
    pod_spec,
    shell,
)


def test_logs_are_filtered_and_followed(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client, tmp_path: Path
) -> None:
    flag = tmp_path / "end"
    wait = f"until [ -e {flag} ]; do sleep 0.05; done"
    script = f"for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; {wait}; echo end"
    spec = pod_spec(shared_agent.node, shell(script), restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    client.wait(is_ready)
    logs = ("logs", "pod", "-n", client.namespace)
    eventually(lambda: "oops" in plane.kubectl(*logs))
    with subprocess.Popen(
        [
            str(plane.kubectl_binary),
            f"--kubeconfig={plane.kubeconfig}",
            *logs,
            "-f",
            "--tail=2",
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(2)] == ["line 5\n", "oops\n"]
        flag.touch()
        followed, _ = follower.communicate(timeout=60)
    assert followed == "end\n"
    assert plane.kubectl(*logs, "--tail=1") == "end\n"
    assert plane.kubectl(*logs, "--limit-bytes=4") == "line"
    assert plane.kubectl(*logs, "--since=1h").count("\n") == 7
    stamped = plane.kubectl(*logs, "--timestamps").splitlines()[0]
    assert stamped.endswith("Z line 1")
    assert stamped.startswith("20")


def end_sleep(seconds: str) -> None:
    """End the one `sleep` of so many seconds."""
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] == ["sleep", seconds]:
            process.send_signal(signal.SIGPIPE)  # shells say nothing about this one


def test_no_line_is_lost_when_a_log_is_rotated(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    count = 220_000
    line = "x" * 80
    gate = f"600.{os.getpid()}"
    script = f"echo begin; sleep {gate}; seq -f '%.0f {line}' 0 {count - 1}; sleep 1"
    spec = pod_spec(shared_agent.node, shell(script), restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    client.wait(lambda p: bool(container_state(p).get("running")))
    logs = ("logs", "pod", "-n", client.namespace)
    follow = [str(plane.kubectl_binary), f"--kubeconfig={plane.kubeconfig}", *logs, "-f"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "begin\n"
        end_sleep(gate)
        followed, _ = follower.communicate(timeout=120)
    numbers = [int(text.split(" ", 1)[0]) for text in followed.splitlines()]
    assert numbers == list(range(count))
    root = Path(shared_agent.config.directory, "p")
    uid = (client.pod() or {})["metadata"]["uid"]
    assert len(list((root / uid[:8] / "c" / "main" / "1").glob("log*"))) >= 3
    assert plane.kubectl(*logs, "--tail=150000").count("\n") == 150_000


def test_an_overlong_line_comes_out_whole(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    script = "head -c 50000 /dev/zero | tr '\\0' a; echo; echo next"
    spec = pod_spec(shared_agent.node, shell(script), restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    client.wait(lambda p: p["status"].get("phase") == "Succeeded")
    log = plane.kubectl("logs", "pod", "-n", client.namespace)
    assert log == "a" * 50000 + "\nnext\n"
