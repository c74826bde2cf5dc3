from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from puna_cli.canary import abort, promote, retry
from puna_cli.errors import CommandError
from tests.unit.cli.conftest import Cluster, endpoint

REJECTED = {"name": "8f3a12cd", "role": "Candidate", "outcome": "Failed", "model": "m"}
ANNOTATE = "annotate llmendpoint chat --namespace=team --overwrite"
CANARY = {"revision": "8f3a12cd", "weight": 10, "step": 1, "steps": 1}


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


def test_a_retry_names_the_rejected_revision_and_takes_an_abort_back(
    show: Callable[..., Cluster],
) -> None:
    cluster = show(endpoint(revisions=[REJECTED], annotations={"puna.dev/retry": "8f3a12cd"}))
    said = retry(cluster.kubectl, "team", "chat", now=7)
    assert said == "Revision 8f3a12cd, which failed, begins its canary anew."
    (written,) = cluster.written
    assert written == f"{ANNOTATE} puna.dev/retry=8f3a12cd/7 puna.dev/abort-"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            {"summary": {"rollout": "Complete"}},
            "has no rejected canary; its rollout: Complete",
        ),
        (
            {"rollback": {"revision": "47e27957", "insteadOf": "8f3a12cd"}},
            "is rolled back to 47e27957; first: puna rollback chat --undo",
        ),
    ],
)
def test_without_a_rejected_canary_the_rollout_is_told(
    show: Callable[..., Cluster], status: dict[str, Any], why: str
) -> None:
    cluster = show(endpoint(**status))
    with pytest.raises(CommandError) as refusal:
        retry(cluster.kubectl, "team", "chat", now=7)
    assert str(refusal.value) == f"LLMEndpoint chat {why}"
