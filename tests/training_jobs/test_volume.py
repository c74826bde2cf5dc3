"""Volumes that the operator makes: who keeps them, who loses them, and whose are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from puna.core.plan import Manifest
from tests.training_jobs.conftest import Lab

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("running")]


def own(lab: Lab, **members: Any) -> Manifest:
    """An output whose claim is bound by the volume of the test's namespace, once that is free."""
    template = {"size": "1Gi", "storageClassName": lab.namespace, "accessModes": ["ReadWriteMany"]}
    return {"volumeClaimTemplate": template | members}


def provide(lab: Lab, claim: str = "mnist-output") -> None:
    """Make the volume that the claim binds, as a storage provider does."""
    lab.plane.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{lab.namespace}-made"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "storageClassName": lab.namespace,
                "claimRef": {"namespace": lab.namespace, "name": claim},
                "hostPath": {"path": "/nowhere"},
            },
        }
    )


def found(lab: Lab) -> Manifest:
    """The claim that was made; empty where there is none."""
    path = f"/api/v1/namespaces/{lab.namespace}/persistentvolumeclaims/mnist-output"
    return lab.api.get(path) or {}


def test_a_run_waits_for_its_volume_writes_to_it_and_leaves_it_behind(lab: Lab) -> None:
    folder = lab.claims / lab.namespace / "mnist-output"
    lab.start(output=own(lab))
    lab.until(lambda: found(lab), "the claim")
    lab.until(lambda: lab.condition("Training")[1] == "VolumeClaimUnbound", "the wait to be told")
    provide(lab)
    lab.until_ended("Complete")
    assert (folder / "mnist/state.json").exists()
    made = found(lab)
    assert "ownerReferences" not in made["metadata"]
    lab.kubectl("delete", "tj", "mnist", "--cascade=foreground")
    assert found(lab)["metadata"]["uid"] == made["metadata"]["uid"]
    lab.start(output=own(lab))
    lab.until_ended("Complete")
    after = found(lab)
    assert after["metadata"]["uid"] == made["metadata"]["uid"]
    assert after["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_volume_goes_with_its_run_where_that_is_asked_for(lab: Lab) -> None:
    lab.start(output=own(lab, whenDeleted="Delete"))
    provide(lab)
    lab.until_ended("Complete")
    lab.kubectl("delete", "tj", "mnist", "--cascade=foreground")
    lab.until(lambda: not found(lab), "the claim to go")


def test_a_users_claim_of_that_name_is_left_alone(lab: Lab) -> None:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "none",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    metadata = {"name": "mnist-output"}
    lab.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": spec,
        }
    )
    before = found(lab)
    lab.start(output=own(lab))
    lab.until(lambda: lab.condition("Accepted")[1] == "NameConflict", "the conflict to be told")
    assert "persistentVolumeClaim.claimName" in lab.condition("Accepted")[2]
    assert found(lab)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert not lab.jobs()
