"""`puna up --kubeconfig`: the operator here, the cluster elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import (
    CommandHome,
    ControlPlane,
    command_home,
    eventually,
    start_control_plane,
)

pytestmark = pytest.mark.api

ENDPOINT = {
    "apiVersion": "puna.dev/v1alpha1",
    "kind": "LLMEndpoint",
    "metadata": {"name": "far", "namespace": "default"},
    "spec": {
        "model": {"uri": "https://example.org/model.gguf", "sha256": "0" * 64},
        "accelerator": "cpu",
    },
}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster without anything of ours."""
    plane = start_control_plane(tmp_path_factory.mktemp("elsewhere"))
    yield plane
    plane.stop()


@pytest.fixture(scope="module")
def attached_home() -> Iterator[CommandHome]:
    """A state folder of this module."""
    with command_home() as home:
        yield home


def test_the_operator_works_on_a_cluster_that_exists(
    elsewhere: ControlPlane, attached_home: CommandHome
) -> None:
    up = attached_home.puna("up", "--name=far", f"--kubeconfig={elsewhere.kubeconfig}")
    assert up.returncode == 0, up.stderr
    assert attached_home.puna("status", "--name=far").returncode == 0
    elsewhere.apply(ENDPOINT)
    path = "/apis/apps/v1/namespaces/default/deployments"
    eventually(
        lambda: any(
            item["metadata"]["name"].startswith("far-default-")
            for item in (elsewhere.get(path) or {"items": []})["items"]
        ),
        what="the endpoint's Deployment",
    )
    shown = attached_home.puna("kubectl", "--name=far", "get", "llme", "far", "-o", "name")
    assert shown.stdout.strip() == "llmendpoint.puna.dev/far"
    down = attached_home.puna("down", "--name=far")
    assert down.returncode == 0
    assert "operator" in down.stdout
    # The resources stay: the cluster is somebody else's.
    assert elsewhere.get("/apis/puna.dev/v1alpha1/namespaces/default/llmendpoints/far") is not None


def test_a_local_cluster_does_not_become_a_foreign_one(
    elsewhere: ControlPlane, attached_home: CommandHome
) -> None:
    attached_home.puna("up", "--name=far", f"--kubeconfig={elsewhere.kubeconfig}")
    done = attached_home.puna("up", "--name=far")
    assert done.returncode == 1
    assert "--name far" in done.stderr
    assert attached_home.puna("chat", "--name=far", "far", "Hello").returncode == 1
    attached_home.puna("down", "--name=far", "--purge")


def test_a_missing_kubeconfig_is_named(attached_home: CommandHome, tmp_path: Path) -> None:
    done = attached_home.puna("up", f"--kubeconfig={tmp_path / 'none'}")
    assert done.returncode == 1
    assert f"--kubeconfig {tmp_path / 'none'}: no such file" in done.stderr
