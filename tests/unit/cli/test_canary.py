from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from puna_cli.canary import abort, promote
from puna_cli.errors import CommandError
from puna_cli.kubectl import Kubectl

KUBECTL = """#!/bin/sh
printf '%s\\n' "$*" >> "{folder}/calls"
case " $* " in *" get "*) cat "{folder}/endpoints.json" ;; esac
"""
ANNOTATE = "annotate llmendpoint chat --namespace=team --overwrite"
CANARY = {"revision": "8f3a12cd", "weight": 10, "step": 1, "steps": 1}


@dataclass(frozen=True)
class Cluster:
    """A kubectl that shows endpoints, and what it was called with."""

    folder: Path

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.folder / "kubectl", self.folder / "kubeconfig")

    @property
    def written(self) -> list[str]:
        """Arguments of the calls that write."""
        calls = (self.folder / "calls").read_text(encoding="utf-8").splitlines()
        arguments = [call.partition(" ")[2] for call in calls]
        return [call for call in arguments if not call.startswith("get ")]


@pytest.fixture
def show(tmp_path: Path) -> Callable[..., Cluster]:
    """Make a cluster with these endpoints."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(folder=tmp_path), encoding="utf-8")
    kubectl.chmod(0o755)

    def shown(*endpoints: dict[str, Any]) -> Cluster:
        items = {"items": list(endpoints)}
        (tmp_path / "endpoints.json").write_text(json.dumps(items), encoding="utf-8")
        return Cluster(tmp_path)

    return shown


def endpoint(
    name: str = "chat", *, annotations: dict[str, str] | None = None, **status: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "team", "annotations": annotations or {}},
        "spec": {"rollout": {"strategy": "Canary"}},
        "status": {"stableRevision": "47e27957", **status},
    }


def test_a_promotion_names_the_revision_and_takes_an_abort_back(
    show: Callable[..., Cluster],
) -> None:
    cluster = show(endpoint(canary=CANARY), endpoint("other"))
    said = promote(cluster.kubectl, "team", "chat", now=7)
    assert said == "Revision 8f3a12cd takes over as soon as all its servers are ready."
    (written,) = cluster.written
    assert written == f"{ANNOTATE} puna.dev/promote=8f3a12cd puna.dev/abort-"


def test_an_abort_names_the_revision_and_takes_a_promotion_back(
    show: Callable[..., Cluster],
) -> None:
    cluster = show(endpoint(canary=CANARY, annotations={"puna.dev/abort": "8f3a12cd"}))
    said = abort(cluster.kubectl, "team", "chat", now=7)
    assert said == (
        "Revision 8f3a12cd, which had 10% of the requests, gets no more; "
        "47e27957 serves until the spec changes."
    )
    (written,) = cluster.written
    assert written == f"{ANNOTATE} puna.dev/abort=8f3a12cd/7 puna.dev/promote-"


def test_without_such_an_endpoint_those_that_there_are_are_named(
    show: Callable[..., Cluster],
) -> None:
    cluster = show(endpoint("web"), endpoint("chat"))
    with pytest.raises(CommandError, match="no LLMEndpoint absent in namespace team; there: chat,"):
        promote(cluster.kubectl, "team", "absent", now=7)
    with pytest.raises(CommandError, match="there: none"):
        abort(show().kubectl, "team", "absent", now=7)


@pytest.mark.parametrize("order", [promote, abort])
def test_without_a_canary_the_rollout_is_told(
    show: Callable[..., Cluster], order: Callable[..., str]
) -> None:
    cluster = show(endpoint(summary={"rollout": "Aborted 8f3a12cd"}))
    with pytest.raises(CommandError) as refusal:
        order(cluster.kubectl, "team", "chat", now=7)
    assert str(refusal.value) == (
        "LLMEndpoint chat has no canary; its strategy is Canary, its rollout: Aborted 8f3a12cd"
    )
    assert cluster.written == []
