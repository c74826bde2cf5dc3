from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from puna_cli.errors import CommandError
from puna_cli.revisions import former, history, meant_revision, rollback, undo
from tests.factories import endpoint as resource
from tests.fake_cluster import FakeCluster
from tests.strategies import MODELS
from tests.unit.cli.conftest import Cluster

ANNOTATE = "annotate llmendpoint chat --namespace=team --overwrite puna.dev/rollback"
CANARY = {"strategy": "Canary", "canary": {"steps": [{"weight": 10}]}}


def a_cluster(*models: int, strategy: str = "Surge") -> FakeCluster:
    """An endpoint that has served some models."""
    rollout = CANARY if strategy == "Canary" else {"strategy": strategy}
    cluster = FakeCluster(resource(model=MODELS[0], rollout=rollout))
    cluster.settle()
    for model in models:
        cluster.edit(model=MODELS[model])
        cluster.settle()
    return cluster


def shown(cluster: FakeCluster) -> dict[str, Any]:
    """The endpoint as kubectl shows it."""
    made = cluster.endpoint
    return {
        "metadata": made.metadata.to_dict(),
        "spec": made.spec.to_dict(),
        "status": made.status.to_dict(),
    }


def names(cluster: FakeCluster) -> list[str]:
    """Stored revisions, the oldest first."""
    found = sorted(cluster.of_kind("ControllerRevision"), key=lambda item: item["revision"])
    return [item["metadata"]["labels"]["puna.dev/revision"] for item in found]


def test_a_rollback_names_both_revisions_and_the_operator_carries_it_out(
    show: Callable[..., Cluster],
) -> None:
    cluster = a_cluster(1, 2)
    oldest, before, newest = names(cluster)
    program = show(shown(cluster))
    said = rollback(program.kubectl, "team", "chat", None, now=7)
    assert said == (
        f"Revision {before} serves instead of {newest} as soon as it can, until the spec means "
        "another one. To take the order back: puna rollback chat --undo"
    )
    rollback(program.kubectl, "team", "chat", oldest, now=7)
    first, second = program.written
    assert first == f"{ANNOTATE}={before}/{newest}"
    assert second == f"{ANNOTATE}={oldest}/{newest}"
    cluster.annotate(rollback=second.partition("=")[2].partition("=")[2])
    cluster.settle()
    assert cluster.weights() == {oldest: 100}


def test_an_order_that_is_repeated_is_a_new_one(show: Callable[..., Cluster]) -> None:
    cluster = a_cluster(1)
    old, new = names(cluster)
    cluster.annotate(rollback=f"{old}/{new}/3")
    cluster.settle()
    program = show(shown(cluster))
    rollback(program.kubectl, "team", "chat", old, now=7)
    assert program.written == [f"{ANNOTATE}={old}/{new}/7"]


def test_undo_takes_the_annotation_away(show: Callable[..., Cluster]) -> None:
    cluster = a_cluster(1)
    old, new = names(cluster)
    with pytest.raises(CommandError, match="LLMEndpoint chat has no order to roll back"):
        undo(show(shown(cluster)).kubectl, "team", "chat")
    cluster.annotate(rollback=f"{old}/{new}")
    program = show(shown(cluster))
    assert undo(program.kubectl, "team", "chat") == "What the spec means is rolled out again."
    assert program.written == [f"{ANNOTATE}-"]


@pytest.mark.parametrize(
    ("revision", "why"),
    [
        ("deadbeef", "LLMEndpoint chat has no revision deadbeef to go back to; there: {old}"),
        ("{new}", "{new} is the revision that the spec means"),
    ],
)
def test_a_revision_that_cannot_be_gone_back_to_is_refused(
    show: Callable[..., Cluster], revision: str, why: str
) -> None:
    cluster = a_cluster(1)
    old, new = names(cluster)
    program = show(shown(cluster))
    with pytest.raises(CommandError) as refusal:
        rollback(program.kubectl, "team", "chat", revision.format(new=new), now=7)
    assert str(refusal.value) == why.format(old=old, new=new)
    assert program.written == []


def test_without_a_former_revision_one_has_to_be_named(show: Callable[..., Cluster]) -> None:
    with pytest.raises(CommandError, match=r"has no former revision \(stored: none\); name one"):
        rollback(show(shown(a_cluster())).kubectl, "team", "chat", None, now=7)


def test_a_spec_that_the_operator_has_not_seen_is_waited_for() -> None:
    cluster = a_cluster(1)
    cluster.edit(model=MODELS[2])
    with pytest.raises(CommandError, match="has not told yet which revision the newest spec"):
        meant_revision(shown(cluster))


def default(cluster: FakeCluster) -> str | None:
    endpoint = shown(cluster)
    status = endpoint["status"]
    meant = meant_revision(endpoint)
    return former([item for item in status["revisions"] if item["name"] != meant], status)


def test_while_a_canary_runs_the_stable_revision_is_gone_back_to() -> None:
    cluster = a_cluster(1, strategy="Canary")
    assert default(cluster) == cluster.endpoint.status.stable_revision


def test_where_a_canary_was_rejected_it_is_the_one_before_the_stable_one() -> None:
    cluster = a_cluster(1)
    oldest = names(cluster)[0]
    cluster.edit(model=MODELS[2], rollout=CANARY)
    cluster.settle()
    canary = cluster.endpoint.status.canary
    assert canary is not None
    cluster.annotate(abort=canary.revision)
    cluster.settle()
    assert default(cluster) == oldest


def test_rolled_back_already_it_is_one_further_back() -> None:
    cluster = a_cluster(1, 2)
    oldest, before, newest = names(cluster)
    cluster.annotate(rollback=f"{before}/{newest}")
    cluster.settle()
    assert default(cluster) == oldest


def test_the_history_tells_what_became_of_each_revision(show: Callable[..., Cluster]) -> None:
    cluster = a_cluster(1, strategy="Canary")
    old, new = names(cluster)
    rows, rollout = history(show(shown(cluster)).kubectl, "team", "chat")
    assert rollout == f"10% -> {new}"
    assert [row[:4] for row in rows] == [
        (new, "Candidate, 10%", MODELS[1]["uri"], ""),
        (old, "Stable", MODELS[0]["uri"], ""),
    ]
    assert rows[0][4].startswith("2026-03-01 12:00:")
    cluster.annotate(abort=new)
    cluster.settle()
    rows, rollout = history(show(shown(cluster)).kubectl, "team", "chat")
    assert [row[1] for row in rows] == ["Candidate, Aborted", "Stable"]
    cluster.annotate(abort=None, rollback=f"{old}/{new}")
    cluster.settle()
    rows, rollout = history(show(shown(cluster)).kubectl, "team", "chat")
    assert rollout == f"Rolled back to {old}"
    assert [row[1] for row in rows] == ["Candidate, Aborted, rolled back", "Stable"]
