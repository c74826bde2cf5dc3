from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from puna_node.admission import find_profile, image_repository, refusal
from puna_node.manifest import Manifest
from tests.unit.node.pods import IMAGE, POLICY, container, pod


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("a", "a"),
        ("a:1", "a"),
        ("host:5000/a", "host:5000/a"),
        ("host:5000/b/a:1@sha256:00", "host:5000/b/a"),
        ("ghcr.io/x/y@sha256:00", "ghcr.io/x/y"),
    ],
)
def test_an_image_is_known_by_its_repository(image: str, repository: str) -> None:
    assert repository == image_repository(image)


def test_an_ordinary_pod_is_allowed() -> None:
    manifest = pod(
        container(securityContext={"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}),
        initContainers=[container(name="fetch", image="puna", command=["puna-fetch"])],
        volumes=[{"name": "models", "emptyDir": {}}],
    )
    assert refusal(manifest, POLICY) is None


def test_a_profile_needs_exactly_its_command() -> None:
    fetch = container(image="puna", command=["puna-fetch"])
    assert find_profile(fetch, POLICY.profiles) == POLICY.profiles[1]
    assert find_profile(container(image="puna"), POLICY.profiles) is None
    extended = container(image="puna", command=["puna-fetch", "x"])
    assert find_profile(extended, POLICY.profiles) is None


REFUSED: list[tuple[Manifest, str]] = [
    (pod(metadata={"namespace": "kube-system"}), "metadata.namespace"),
    (pod(container(image="docker.io/evil")), "spec.containers[0].image"),
    (pod(container(command=["/bin/sh"])), "spec.containers[0].command"),
    (pod(hostPID=True), "spec.hostPID"),
    (pod(hostIPC=True), "spec.hostIPC"),
    (
        pod(container(securityContext={"capabilities": {"add": ["NET_ADMIN"]}})),
        "spec.containers[0].securityContext.capabilities.add",
    ),
    (
        pod(volumes=[{"name": "v", "hostPath": {"path": "/srv/models/../../etc"}}]),
        "spec.volumes[0].hostPath.path",
    ),
    (
        pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
        "spec.volumes[0].persistentVolumeClaim",
    ),
    (pod(volumes=[{"name": "v", "nfs": {"server": "x"}}]), "spec.volumes[0].nfs"),
    (
        pod(container(volumeMounts=[{"name": "v", "mountPath": "/"}])),
        "spec.containers[0].volumeMounts[0].name",
    ),
    (
        pod(
            container(volumeMounts=[{"name": "v", "mountPath": "/"}]),
            volumes=[{"name": "v", "emptyDir": {}}],
        ),
        "spec.containers[0].volumeMounts[0].mountPath",
    ),
    (
        pod(
            container(volumeMounts=[{"name": "v", "mountPath": "/x", "subPath": "../y"}]),
            volumes=[{"name": "v", "emptyDir": {}}],
        ),
        "spec.containers[0].volumeMounts[0].subPath",
    ),
    (
        pod(container(livenessProbe={"exec": {"command": ["true"]}})),
        "spec.containers[0].livenessProbe.exec",
    ),
    (
        pod(initContainers=[container(name="s", restartPolicy="Always")]),
        "spec.initContainers[0].restartPolicy",
    ),
    (pod(container(workingDir="/srv/models")), "spec.containers[0].workingDir"),
    (pod(container(name="../../etc")), "container name"),
]


@pytest.mark.parametrize(("manifest", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_a_refusal_names_the_field(manifest: Manifest, field: str) -> None:
    text = refusal(manifest, POLICY)
    assert text is not None
    assert text.startswith(field)


@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        ({"key": "virtual-kubelet.io/provider", "value": "puna-node"}, True),
        ({"key": "virtual-kubelet.io/provider", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "virtual-kubelet.io/provider", "value": "other"}, False),
        (
            {"key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoExecute"},
            False,
        ),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_tainted_node_checks_tolerations_itself(
    toleration: dict[str, Any],
    tolerates: bool,  # noqa: FBT001
) -> None:
    policy = replace(POLICY, tainted=True)
    assert (refusal(pod(tolerations=[toleration]), policy) is None) is tolerates


def test_namespaces_can_be_listed() -> None:
    policy = replace(POLICY, namespaces=("models",))
    assert refusal(pod(metadata={"namespace": "models"}), policy) is None
    assert "is not among the namespaces allowed" in str(refusal(pod(), policy))


def test_a_host_path_below_an_allowed_folder_is_allowed() -> None:
    volumes = [{"name": "v", "hostPath": {"path": "/srv/models/llama"}}]
    assert refusal(pod(volumes=volumes), POLICY) is None
    assert IMAGE in {profile.image for profile in POLICY.profiles}
