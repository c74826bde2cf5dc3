"""A GitOps tool sees no drift, and applying once more what is there changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from puna.core.plan import Manifest
from tests.api.shell.conftest import Team
from tests.cluster import eventually
from tests.operator_process import OperatorProcess

pytestmark = pytest.mark.api
EXAMPLES: Final = Path(__file__).parents[3] / "examples"
OURS: Final = ("LLMEndpoint", "TrainingJob", "Preset")


def declared(namespace: str) -> list[Manifest]:
    """What a repository would hold: a canary with its Presets, and a run with its endpoint."""
    documents = [
        document
        for folder in ("02-canary", "05-train-a-code-model")
        for path in sorted((EXAMPLES / folder).glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]
    for document in documents:
        document["metadata"]["namespace"] = namespace
    return documents


def text_of(documents: list[Manifest]) -> str:
    return yaml.safe_dump_all(documents)


def sync(team: Team, documents: list[Manifest], manager: str, *options: str) -> None:
    team.plane.kubectl(
        "apply",
        "--server-side",
        f"--field-manager={manager}",
        *options,
        "--filename=-",
        text=text_of(documents),
    )


def live(team: Team) -> dict[str, Any]:
    """Our resources as the API server shows them, with who owns which fields."""
    kinds = ",".join(f"{kind.lower()}s.puna.dev" for kind in OURS)
    found = team.plane.kubectl(
        "-n", team.namespace, "get", kinds, "--show-managed-fields", "--output=yaml"
    )
    return {
        f"{item['kind']} {item['metadata']['name']}": item
        for item in yaml.safe_load(found)["items"]
    }


def of_users(item: Manifest) -> tuple[Any, ...]:
    metadata = item["metadata"]
    return item["spec"], metadata["generation"], metadata.get("annotations"), metadata["uid"]


def test_syncs_that_change_nothing_change_nothing(team: Team, running: OperatorProcess) -> None:
    documents = declared(team.namespace)
    sync(team, documents, "argocd-controller")
    eventually(lambda: team.condition("Ready")[0], what="the endpoint to be looked at")
    eventually(lambda: team.all("Job"), what="the run's Job")
    versions, before = team.settled(), live(team)
    assert len(before) == 5

    drift = ("diff", "--server-side", "--field-manager=argocd-controller", "--filename=-")
    assert team.plane.kubectl(*drift, text=text_of(documents)) == ""

    sync(team, documents, "argocd-controller")
    assert team.settled() == versions
    sync(team, documents, "kustomize-controller", "--force-conflicts")
    after = live(team)
    assert {name: of_users(item) for name, item in after.items()} == {
        name: of_users(item) for name, item in before.items()
    }
    settled = team.settled()
    assert {key: value for key, value in settled.items() if key[0] != "LLMEndpoint"} == {
        key: value for key, value in versions.items() if key[0] != "LLMEndpoint"
    }, "another manager's fields are news on the resource, and no news for its children"
    assert "traceback=" not in running.text()


def test_the_operator_owns_the_status_and_nothing_else(
    team: Team, running: OperatorProcess
) -> None:
    sync(team, declared(team.namespace), "argocd-controller")
    eventually(lambda: team.condition("Ready")[0], what="the endpoint to be looked at")
    eventually(lambda: team.all("Job"), what="the run's Job")
    team.settled()
    for name, item in live(team).items():
        owners = {
            entry["manager"]: (set(entry["fieldsV1"]), entry.get("subresource"))
            for entry in item["metadata"]["managedFields"]
        }
        expected = {"argocd-controller"} | ({"puna"} if not name.startswith("Preset") else set())
        assert set(owners) == expected, name
        if "puna" in owners:
            assert owners["puna"] == ({"f:status"}, "status")
    assert "traceback=" not in running.text()
