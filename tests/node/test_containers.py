"""Containers of Pods: order, exit, restart, messages."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import ControlPlane, eventually
from tests.node.agents import (
    AgentProcess,
    Client,
    condition,
    container_state,
    container_status,
    is_ready,
    pod,
    pod_spec,
    restarts,
    shell,
    waiting_reason,
)


def test_a_pod_that_ends_well_has_succeeded(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    spec = pod_spec(shared_agent.node, shell("echo done"), restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    found = client.wait(lambda p: p["status"].get("phase") == "Succeeded")
    terminated = container_state(found)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (0, "Completed")
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_an_exit_code_and_the_message_in_the_file_are_reported(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    script = 'echo the disk is full > "$PUNA_TERMINATION_LOG"; echo to /dev/termination-log; exit 7'
    spec = pod_spec(shared_agent.node, shell(script), restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    found = client.wait(lambda p: p["status"].get("phase") == "Failed")
    terminated = container_state(found)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (7, "Error")
    assert terminated["message"] == "the disk is full\n"


def test_without_a_message_the_end_of_the_log_is_reported_where_asked_for(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    container = shell(
        "echo failed to load model; exit 1", terminationMessagePolicy="FallbackToLogsOnError"
    )
    spec = pod_spec(shared_agent.node, container, restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    found = client.wait(lambda p: p["status"].get("phase") == "Failed")
    assert container_state(found)["terminated"]["message"] == "failed to load model\n"


def test_a_signal_is_reported_as_a_container_runtime_does(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    spec = pod_spec(shared_agent.node, shell("kill -SEGV $$$$"), restartPolicy="Never")
    plane.apply(pod(client.namespace, spec))
    found = client.wait(lambda p: p["status"].get("phase") == "Failed")
    terminated = container_state(found)["terminated"]
    assert (terminated["exitCode"], terminated["signal"]) == (139, 11)


def test_a_container_that_ends_again_and_again_backs_off(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, shell("echo no; exit 3"))))
    found = client.wait(lambda p: waiting_reason(p) == "CrashLoopBackOff")
    status = container_status(found)
    # The first restart is immediate, the second waits for 10 s.
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert "back-off 10s restarting failed container=main" in status["state"]["waiting"]["message"]
    assert found["status"]["phase"] == "Running"
    assert not is_ready(found)
    assert "no" in plane.kubectl("logs", "pod", "--previous", "-n", client.namespace)


def test_init_containers_run_one_after_the_other_and_share_volumes(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    mounts = {"volumeMounts": [{"name": "work", "mountPath": "/share"}]}
    first = shell("sleep 0.2; echo one >> /share/order", **mounts) | {"name": "first"}
    second = shell("echo two >> /share/order", **mounts) | {"name": "second"}
    main = shell("echo three >> /share/order; cat /share/order; sleep 600", **mounts)
    spec = pod_spec(
        shared_agent.node,
        main,
        initContainers=[first, second],
        volumes=[{"name": "work", "emptyDir": {}}],
    )
    plane.apply(pod(client.namespace, spec))
    client.wait(is_ready)
    log = eventually(lambda: plane.kubectl("logs", "pod", "-n", client.namespace))
    assert log.split() == ["one", "two", "three"]
    assert plane.kubectl("logs", "pod", "-c", "first", "-n", client.namespace) == ""


def test_an_init_container_that_fails_holds_the_others_back(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    fetch = shell(
        'echo \'{"reason": "NotFound"}\' > /dev/termination-log; exit 1',
    ) | {"name": "fetch"}
    spec = pod_spec(shared_agent.node, shell("sleep 600"), initContainers=[fetch])
    plane.apply(pod(client.namespace, spec))
    found = client.wait(lambda p: waiting_reason(p, "fetch") == "CrashLoopBackOff")
    assert found["status"]["phase"] == "Pending"
    assert condition(found, "Initialized") == "False"
    assert waiting_reason(found) == "PodInitializing"
    last = container_status(found, "fetch")["lastState"]["terminated"]
    assert last["message"] == '{"reason": "NotFound"}\n'


def test_a_job_completes(plane: ControlPlane, shared_agent: AgentProcess, client: Client) -> None:
    spec = pod_spec(shared_agent.node, shell("exit 0"), restartPolicy="Never")
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job", "namespace": client.namespace},
        "spec": {"template": {"spec": spec}},
    }
    plane.apply(job)
    path = f"/apis/batch/v1/namespaces/{client.namespace}/jobs/job"
    eventually(lambda: (plane.get(path) or {}).get("status", {}).get("succeeded") == 1)


def test_containers_of_a_pod_share_an_empty_folder_and_an_address(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    mounts = {"volumeMounts": [{"name": "run", "mountPath": "/run/puna"}]}
    one = shell("sleep 0.1; echo hello > /run/puna/file; sleep 600", **mounts) | {"name": "one"}
    two = shell(
        "until [ -s /run/puna/file ]; do sleep 0.05; done; cat /run/puna/file; sleep 600", **mounts
    ) | {"name": "two"}
    spec = pod_spec(shared_agent.node, one, two, volumes=[{"name": "run", "emptyDir": {}}])
    plane.apply(pod(client.namespace, spec))
    client.wait(is_ready)
    logs = ("logs", "pod", "-c", "two", "-n", client.namespace)
    eventually(lambda: plane.kubectl(*logs) == "hello\n")


def test_a_startup_probe_costs_no_period(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    probe = {"exec": {"command": ["test", "-e", "/share/up"]}, "periodSeconds": 600}
    container = shell(
        "sleep 0.3; touch /share/up; sleep 600",
        startupProbe=probe,
        readinessProbe=probe,
        volumeMounts=[{"name": "work", "mountPath": "/share"}],
    )
    volumes = [{"name": "work", "emptyDir": {}}]
    spec = pod_spec(shared_agent.node, container, volumes=volumes)
    plane.apply(pod(client.namespace, spec))
    client.wait(is_ready)


def test_a_failed_liveness_probe_restarts_the_container(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    container = shell(
        "trap 'exit 0' TERM; sleep 600 & wait",
        livenessProbe={
            "exec": {"command": ["false"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
    )
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, container)))
    client.wait(lambda p: restarts(p) == 1)
    path = f"/api/v1/namespaces/{client.namespace}/events"

    def reasons() -> set[str]:
        return {event["reason"] for event in (plane.get(path) or {})["items"]}

    eventually(lambda: {"Started", "Unhealthy", "Killing"} <= reasons(), what=str(reasons()))


def test_readiness_follows_its_probe(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client, tmp_path: Path
) -> None:
    flag = tmp_path / "ready"
    flag.touch()
    probe = {
        "exec": {"command": ["test", "-e", str(flag)]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    spec = pod_spec(shared_agent.node, shell("sleep 600", readinessProbe=probe))
    plane.apply(pod(client.namespace, spec))
    client.wait(is_ready)
    flag.unlink()
    client.wait(lambda p: not is_ready(p))
    flag.touch()
    client.wait(is_ready)


def test_a_program_that_cannot_be_executed_says_so(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    container = shell(":" + " " * 140_000)  # more than Linux takes in one argument
    plane.apply(pod(client.namespace, pod_spec(shared_agent.node, container)))
    found = client.wait(lambda p: restarts(p) >= 1)
    status = container_status(found)
    ended = status["state"].get("terminated") or status["lastState"]["terminated"]
    assert ended["reason"] == "StartError"
    assert "Argument list too long" in ended["message"]


def test_a_pod_over_its_deadline_fails(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    spec = pod_spec(shared_agent.node, shell("sleep 600"), activeDeadlineSeconds=1)
    plane.apply(pod(client.namespace, spec))
    found = client.wait(lambda p: p["status"].get("phase") == "Failed")
    assert found["status"]["reason"] == "DeadlineExceeded"
