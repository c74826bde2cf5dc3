"""Volumes, environment and credentials of Pods."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cluster import ControlPlane, eventually
from tests.node.agents import (
    IMAGE_PYTHON,
    AgentProcess,
    Client,
    container_state,
    is_ready,
    pod,
    pod_spec,
    shell,
    timed,
    waiting_reason,
)


def secret(namespace: str, name: str = "s", **data: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data,
    }


def config_map(namespace: str, name: str = "c", **data: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def log_of(plane: ControlPlane, namespace: str) -> str:
    return plane.kubectl("logs", "pod", "-n", namespace)


def test_environment_comes_from_every_source(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    ns = client.namespace
    plane.apply(secret(ns, token="geheim"), config_map(ns, color="blue", size="9"))
    fields = {
        "NAME": "metadata.name",
        "NODE": "spec.nodeName",
        "POD_IP": "status.podIP",
        "LABEL": "metadata.labels['app']",
    }
    env = [
        {"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for key, path in fields.items()
    ]
    env += [
        {"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
        {"name": "N", "valueFrom": {"secretKeyRef": {"name": "n", "key": "x", "optional": True}}},
        {"name": "URL", "value": "http://$(POD_IP):1/$(NAME)/$$(NAME)"},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "FILE", "value": "/data/x"},
    ]
    container = shell(
        "env; exit 0",
        env=env,
        envFrom=[{"configMapRef": {"name": "c"}, "prefix": "C_"}],
        resources={"limits": {"memory": "64Mi"}},
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
    )
    spec = pod_spec(
        shared_agent.node,
        container,
        restartPolicy="Never",
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    plane.apply(pod(ns, spec))
    found = client.wait(lambda p: p["status"].get("phase") == "Succeeded")
    pairs = (line.partition("=") for line in log_of(plane, ns).splitlines())
    shown = {name: value for name, _, value in pairs}
    ip = found["status"]["podIP"]
    expected = {
        "NAME": "pod",
        "NODE": shared_agent.node,
        "POD_IP": ip,
        "LABEL": "pod",
        "T": "geheim",
        "URL": f"http://{ip}:1/pod/$(NAME)",
        "MEM": str(64 * 2**20),
        "C_color": "blue",
        "C_size": "9",
        "LANG": "C.UTF-8",
    }
    assert expected == {name: shown[name] for name in expected}
    assert "N" not in shown
    assert Path(shown["FILE"]).name == "x"
    assert shown["PUNA_MOUNT_DATA"] == str(Path(shown["FILE"]).parent)
    inherited = set(shown) & {"VIRTUAL_ENV", "PYTHONPATH", "PYTEST_CURRENT_TEST", "USER"}
    assert inherited == set()


def test_a_missing_secret_is_named_and_its_coming_is_noticed_soon(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    ns = client.namespace
    volumes = [{"name": "v", "secret": {"secretName": "s"}}]
    mounts = [{"name": "v", "mountPath": "/etc/v", "readOnly": True}]
    container = shell("cat /etc/v/a; echo; sleep 600", volumeMounts=mounts)
    plane.apply(pod(ns, pod_spec(shared_agent.node, container, volumes=volumes)))
    found = client.wait(lambda p: waiting_reason(p) == "CreateContainerConfigError")
    assert container_state(found)["waiting"]["message"] == 'secret "s" not found'
    plane.apply(secret(ns, a="content"))
    began = time.monotonic()
    client.wait(is_ready)
    timed("Secret made -> Ready", began)
    eventually(lambda: log_of(plane, ns) == "content\n")


def test_a_service_account_token_is_accepted_by_the_api_server(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    ns = client.namespace
    script = """
import json, os, ssl, sys, urllib.request
folder = sys.argv[1]
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
request = urllib.request.Request(
    f"https://{host}:{port}/apis/authentication.k8s.io/v1/selfsubjectreviews",
    data=json.dumps(body).encode(),
    headers={
        "Authorization": "Bearer " + open(folder + "/token").read(),
        "Content-Type": "application/json",
    },
)
context = ssl.create_default_context(cafile=folder + "/ca.crt")
with urllib.request.urlopen(request, context=context) as answer:
    print(json.load(answer)["status"]["userInfo"]["username"])
print(open(folder + "/namespace").read())
"""
    container = {
        "name": "main",
        "image": f"{IMAGE_PYTHON}:1",
        "command": ["python"],
        "args": ["-c", script, "/var/run/secrets/kubernetes.io/serviceaccount"],
    }
    spec = pod_spec(
        shared_agent.node, container, restartPolicy="Never", automountServiceAccountToken=True
    )
    plane.apply(pod(ns, spec))
    client.wait(lambda p: p["status"].get("phase") in {"Succeeded", "Failed"})
    assert log_of(plane, ns).split() == [f"system:serviceaccount:{ns}:default", ns]


def test_a_changed_config_map_reaches_the_volume(
    plane: ControlPlane, agent: AgentProcess, client: Client
) -> None:
    ns = client.namespace
    plane.apply(config_map(ns, a="old"))
    volumes = [{"name": "v", "configMap": {"name": "c"}}]
    mounts = [{"name": "v", "mountPath": "/etc/v"}]
    container = shell("while true; do cat /etc/v/a; echo; sleep 0.2; done", volumeMounts=mounts)
    plane.apply(pod(ns, pod_spec(agent.node, container, volumes=volumes)))
    client.wait(is_ready)
    plane.apply(config_map(ns, a="new"))
    # A restarted agent refreshes at once; one that goes on does so every 30 s.
    agent.terminate()
    agent.start_again()
    eventually(lambda: "new" in log_of(plane, ns), what="the new text")


@pytest.mark.parametrize("sub_path", ["", "deep"])
def test_a_claim_is_a_folder_that_outlives_the_pod(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client, sub_path: str
) -> None:
    ns = client.namespace
    plane.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"pv-{ns}"},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/unused"},
                "claimRef": {"namespace": ns, "name": "runs"},
                "storageClassName": "none",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "runs", "namespace": ns},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": f"pv-{ns}",
                "storageClassName": "none",
            },
        },
    )
    mounts = [{"name": "runs", "mountPath": "/runs", "subPath": sub_path}]
    volumes = [{"name": "runs", "persistentVolumeClaim": {"claimName": "runs"}}]
    container = shell("echo kept > /runs/file", volumeMounts=mounts)
    spec = pod_spec(shared_agent.node, container, restartPolicy="Never", volumes=volumes)
    plane.apply(pod(ns, spec))
    client.wait(lambda p: p["status"].get("phase") == "Succeeded")
    root = shared_agent.config.volume_root
    assert root is not None
    assert Path(root, ns, "runs", sub_path, "file").read_text() == "kept\n"
    plane.kubectl("delete", "pv", f"pv-{ns}", "--wait=false")


def test_the_downward_api_fills_a_volume(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client
) -> None:
    volume = {
        "name": "info",
        "downwardAPI": {
            "items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
        },
    }
    mounts = [{"name": "info", "mountPath": "/info"}]
    container = shell("cat /info/labels", volumeMounts=mounts)
    spec = pod_spec(shared_agent.node, container, restartPolicy="Never", volumes=[volume])
    plane.apply(pod(client.namespace, spec))
    client.wait(lambda p: p["status"].get("phase") == "Succeeded")
    assert log_of(plane, client.namespace) == 'app="pod"'
    assert json.loads(json.dumps(client.pod())) is not None
