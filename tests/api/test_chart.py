"""The chart against a real API server: every object is accepted, installed, renewed and removed."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path

import pytest
import yaml

from puna.api.crd import KINDS
from tests.charts.helm import CHART, SCENARIOS, Helm
from tests.cluster import ControlPlane

# The first test may have to build Helm.
pytestmark = [pytest.mark.api, pytest.mark.timeout(900)]

DEFINITIONS = [f"crd/{kind.plural}.puna.dev" for kind in KINDS]
DEFINITION = "customresourcedefinitions/llmendpoints.puna.dev"
DEPLOYMENT = "/apis/apps/v1/namespaces/puna-system/deployments/puna"


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda path: path.stem)
def test_the_api_server_accepts_every_object(
    helm: Helm, chart_plane: ControlPlane, values: Path
) -> None:
    # Monitors and rules belong to the Prometheus operator, whose definitions are not here.
    objects = [
        manifest
        for manifest in helm.render(f"--values={values}").objects
        if not manifest["apiVersion"].startswith("monitoring.coreos.com/")
    ]
    chart_plane.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"),
        text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
    )


@pytest.mark.parametrize("values", SCENARIOS, ids=lambda path: path.stem)
def test_the_operator_passes_restricted_pod_security(
    helm: Helm, chart_plane: ControlPlane, values: Path
) -> None:
    template = helm.render(f"--values={values}").pod
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": template["spec"]["serviceAccountName"], "namespace": "team-a"},
    }
    chart_plane.apply(account)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "operator", "namespace": "team-a"},
        "spec": template["spec"],
    }
    chart_plane.kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(pod))


def test_the_longest_release_name_gives_valid_names(helm: Helm, chart_plane: ControlPlane) -> None:
    text = helm.run("template", "a" * 53, str(CHART), "--namespace=puna-system")
    chart_plane.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", text=text)


def test_a_release_is_installed_renewed_and_removed(
    helm: Helm, chart_plane: ControlPlane, tmp_path: Path
) -> None:
    plane = chart_plane
    older = shutil.copytree(CHART, tmp_path / "puna")
    template = older / "templates/crds/llmendpoints.yaml"
    template.write_text(template.read_text().replace("- llme\n", "- llme\n    - former\n"))
    release = ("puna", "--namespace=puna-system")

    notes = helm.run("install", *release, str(older), kubeconfig=plane.kubeconfig)
    try:
        plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *DEFINITIONS)
        assert "former" in short_names(plane)
        assert_notes_end_with_a_resource(plane, notes)

        changed = "--set=settings.workers=3"
        helm.run("upgrade", *release, str(CHART), changed, kubeconfig=plane.kubeconfig)
        assert "former" not in short_names(plane)
        deployment = plane.get(DEPLOYMENT)
        assert deployment is not None
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"name": "PUNA_WORKERS", "value": "3"} in container["env"]
    finally:
        helm.run("uninstall", *release, kubeconfig=plane.kubeconfig)

    assert plane.get(DEPLOYMENT) is None
    assert short_names(plane) == ["llme"]
    # A second installation takes the kept definitions over.
    helm.run("install", *release, str(CHART), kubeconfig=plane.kubeconfig)
    helm.run("uninstall", *release, kubeconfig=plane.kubeconfig)


def short_names(plane: ControlPlane) -> list[str]:
    definition = plane.get(f"/apis/apiextensions.k8s.io/v1/{DEFINITION}")
    assert definition is not None
    names: list[str] = definition["spec"]["names"]["shortNames"]
    return names


def assert_notes_end_with_a_resource(plane: ControlPlane, notes: str) -> None:
    text = notes.partition("<<EOF\n")[2].partition("    EOF")[0]
    endpoint = yaml.safe_load(textwrap.dedent(text))
    endpoint["spec"]["model"]["sha256"] = "0" * 64
    plane.kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-f", "-"), text=json.dumps(endpoint)
    )
