"""What an admission policy makes of a child is left so: no loop, and the status is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.shell.conftest import Team
from tests.cluster import eventually
from tests.operator_process import OperatorProcess

pytestmark = pytest.mark.api

GROUP = "admissionregistration.k8s.io/v1"


@pytest.fixture
def mirrored(team: Team) -> Iterator[str]:
    """A policy that rewrites the images of the namespace's Deployments, as clusters do."""
    name = f"mirror-{team.namespace}"
    image = "/spec/template/spec/containers/0/image"
    rule: dict[str, Any] = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    mutation = (
        f'[JSONPatch{{op: "replace", path: "{image}", '
        'value: "mirror.example/" + object.spec.template.spec.containers[0].image}]'
    )
    team.plane.apply(
        {
            "apiVersion": GROUP,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": team.namespace}
                    },
                    "resourceRules": [rule],
                },
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": mutation}}],
            },
        },
        {
            "apiVersion": GROUP,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    )
    yield "mirror.example/"
    for kind in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
        team.plane.kubectl("delete", kind, name)


def test_a_rewritten_child_is_neither_fought_over_nor_in_the_way_of_the_status(
    team: Team, mirrored: str, running: OperatorProcess
) -> None:
    def image() -> str:
        deployment = team.deployment()
        assert deployment is not None
        containers = deployment["spec"]["template"]["spec"]["containers"]
        return str(containers[0]["image"])

    # A policy takes effect a moment after it was created.
    eventually(lambda: _rewrites(team, mirrored), what="the policy to work")
    team.endpoint()
    eventually(lambda: team.condition("Accepted")[0] == "True", what=running.text())
    eventually(team.is_complete, what=running.text())
    assert image().startswith(mirrored)
    team.settled()
    assert running.text().count("an admission policy changed what was applied") == 2
    team.endpoint(replicas=3)
    eventually(lambda: (team.deployment() or {})["spec"]["replicas"] == 3, what=running.text())
    team.settled()


def _rewrites(team: Team, prefix: str) -> bool:
    labels = {"app": "probe"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    }
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    team.apply("Deployment", "probe", "apps/v1", spec=spec)
    probe = team.get("Deployment", "probe")
    assert probe is not None
    team.plane.kubectl("delete", "-n", team.namespace, "deployment/probe", "--wait=false")
    return str(probe["spec"]["template"]["spec"]["containers"][0]["image"]).startswith(prefix)
