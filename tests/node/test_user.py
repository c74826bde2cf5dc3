"""Processes of an unprivileged user, where the agent runs as root."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.cluster import ControlPlane
from tests.node.agents import Client, backend_key, container_state, new_agent, pod, pod_spec, shell

NOBODY = 65534


@pytest.mark.skipif(os.getuid() != 0, reason="only root may change the user")
def test_processes_run_as_the_user_of_the_settings(
    plane: ControlPlane, folder: Path, models: Path, client: Client
) -> None:
    folder.chmod(0o711)
    name = f"node-{secrets.token_hex(3)}"
    agent = new_agent(plane, folder, models, name=name, run_as_user=NOBODY)
    plane.apply(backend_key(client.namespace))
    script = (
        "id -u; cat /key/key; echo; echo x > /share/file && echo written; "
        "cat /share/file; touch $HOME/y && echo home; echo bye > /dev/termination-log"
    )
    container = shell(
        script,
        volumeMounts=[
            {"name": "key", "mountPath": "/key"},
            {"name": "share", "mountPath": "/share"},
        ],
    )
    volumes = [
        {"name": "key", "secret": {"secretName": "backend-key", "defaultMode": 0o400}},
        {"name": "share", "emptyDir": {}},
    ]
    agent.start()
    try:
        agent.wait_ready()
        spec = pod_spec(agent.node, container, volumes=volumes, restartPolicy="Never")
        plane.apply(pod(client.namespace, spec))
        found = client.wait(lambda p: p["status"].get("phase") in {"Succeeded", "Failed"})
        log = plane.kubectl("logs", "pod", "-n", client.namespace)
        assert log.split() == [str(NOBODY), "key-of-the-backend", "written", "x", "home"]
        assert container_state(found)["terminated"]["message"] == "bye\n"
    finally:
        agent.end()
