"""A revision that never served is not protected from a corrected operator."""

from __future__ import annotations

from dataclasses import replace

from puna.api.pool import Accelerator
from puna.settings import AcceleratorProfile
from tests.factories import endpoint, settings
from tests.fake_cluster import FakeCluster

MISTAKEN = {Accelerator.CPU: AcceleratorProfile(image="example.org/mistyped:1")}
CORRECTED = {Accelerator.CPU: AcceleratorProfile(image="example.org/llama-server:1")}


def images(cluster: FakeCluster) -> list[str]:
    """Images of the model's Deployments."""
    return [
        item["spec"]["template"]["spec"]["containers"][0]["image"]
        for item in cluster.of_kind("Deployment")
    ]


def frozen_images(cluster: FakeCluster) -> list[str]:
    """Images that the stored revisions hold."""
    return [
        item["data"]["accelerators"]["cpu"]["image"]
        for item in cluster.of_kind("ControllerRevision")
    ]


def test_a_mistake_in_the_settings_is_cured_by_correcting_the_settings() -> None:
    cluster = FakeCluster(endpoint(), settings=settings(accelerators=MISTAKEN))
    cluster.reconcile()
    assert images(cluster) == ["example.org/mistyped:1"]

    cluster.settings = replace(cluster.settings, accelerators=CORRECTED)
    cluster.reconcile()
    cluster.reconcile()

    assert images(cluster) == ["example.org/llama-server:1"]
    assert frozen_images(cluster) == ["example.org/llama-server:1"]


def test_a_revision_that_has_served_keeps_its_image() -> None:
    cluster = FakeCluster(endpoint(), settings=settings(accelerators=CORRECTED))
    cluster.reconcile()
    cluster.run_controllers()
    for pod in cluster.pods:
        cluster.set_ready(pod)
    cluster.reconcile()

    newer = {Accelerator.CPU: AcceleratorProfile(image="example.org/llama-server:2")}
    cluster.settings = replace(cluster.settings, accelerators=newer)
    cluster.reconcile()

    assert images(cluster) == ["example.org/llama-server:1"]
    assert frozen_images(cluster) == ["example.org/llama-server:1"]
