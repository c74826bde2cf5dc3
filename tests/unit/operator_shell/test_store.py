"""The store: one truth from lists, watches and our own writes, in any order."""

from __future__ import annotations

import pytest

from puna.cluster.resources import BY_KIND, WATCHED
from puna.core.plan import Manifest, Ref
from puna.store import Change, Store
from tests.unit.operator_shell.objects import TEAM, child, live

DEPLOYMENTS = BY_KIND["Deployment"]
REF = Ref(TEAM, "chat-x")


class Watched:
    """A store and what it told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.store = Store(self.changes.append)

    def told(self) -> list[tuple[str | None, str | None]]:
        """Versions before and after each change."""
        return [(version(change.before), version(change.after)) for change in self.changes]


def version(manifest: Manifest | None) -> str | None:
    return None if manifest is None else str(manifest["metadata"]["resourceVersion"])


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_changes_are_told_with_both_sides(watched: Watched) -> None:
    watched.store.changed(DEPLOYMENTS, "ADDED", child(version=1))
    watched.store.changed(DEPLOYMENTS, "MODIFIED", child(version=2, spec={"a": 1}))
    watched.store.changed(DEPLOYMENTS, "DELETED", child(version=3))
    assert watched.told() == [(None, "1"), ("1", "2"), ("2", None)]
    assert watched.store.find("Deployment", REF) is None


def test_a_change_of_nothing_that_is_kept_is_not_told(watched: Watched) -> None:
    watched.store.changed(DEPLOYMENTS, "ADDED", child(version=1))
    watched.store.changed(DEPLOYMENTS, "MODIFIED", child(version=2))
    assert watched.told() == [(None, "1")]
    assert version(watched.store.find("Deployment", REF)) == "2"


def test_an_old_event_does_not_undo_an_own_write(watched: Watched) -> None:
    watched.store.changed(DEPLOYMENTS, "ADDED", child(version=1))
    assert watched.store.written(child(version=5, spec={"a": 2})) is not None
    watched.store.changed(DEPLOYMENTS, "MODIFIED", child(version=3, spec={"a": 1}))
    watched.store.changed(DEPLOYMENTS, "MODIFIED", child(version=5, spec={"a": 2}))
    assert version(watched.store.find("Deployment", REF)) == "5"
    assert watched.told() == [(None, "1")]


def test_a_late_answer_does_not_revive_what_was_deleted_meanwhile(watched: Watched) -> None:
    watched.store.changed(DEPLOYMENTS, "ADDED", child(version=5))
    watched.store.changed(DEPLOYMENTS, "DELETED", child(version=6))
    assert watched.store.written(child(version=5)) is None
    assert watched.store.find("Deployment", REF) is None


def test_a_late_deletion_does_not_remove_a_successor(watched: Watched) -> None:
    watched.store.changed(DEPLOYMENTS, "ADDED", child(version=1))
    watched.store.written(child(version=9, uid="new"))
    watched.store.changed(DEPLOYMENTS, "DELETED", child(version=4))
    found = watched.store.find("Deployment", REF)
    assert found is not None
    assert found["metadata"]["uid"] == "new"


def test_a_new_list_tells_what_was_missed(watched: Watched) -> None:
    gone = live("Deployment", "gone", version=1, api_version="apps/v1")
    watched.store.listed(DEPLOYMENTS, [child(version=2), gone], "3")
    watched.store.listed(DEPLOYMENTS, [child(version=8, spec={"a": 1})], "9")
    assert watched.told()[2:] == [("1", None), ("2", "8")]


def test_a_new_list_keeps_what_was_written_after_it(watched: Watched) -> None:
    watched.store.listed(DEPLOYMENTS, [], "3")
    watched.store.written(child(version=12))
    watched.store.listed(DEPLOYMENTS, [], "9")
    assert watched.store.find("Deployment", REF) is not None


def test_objects_are_found_by_owner_label_and_namespace_while_they_exist(
    watched: Watched,
) -> None:
    store = watched.store
    store.changed(DEPLOYMENTS, "ADDED", child(version=1))
    assert len(list(store.owned_by("uid-of-LLMEndpoint-chat"))) == 1
    assert len(list(store.labelled(Ref(TEAM, "chat")))) == 1
    assert len(list(store.in_namespace("Deployment", TEAM))) == 1
    store.changed(DEPLOYMENTS, "MODIFIED", live("Deployment", "chat-x", version=2))
    assert list(store.owned_by("uid-of-LLMEndpoint-chat")) == []
    assert list(store.labelled(Ref(TEAM, "chat"))) == []
    assert len(list(store.in_namespace("Deployment", TEAM))) == 1


def test_nothing_is_known_to_be_absent_before_every_list_is_in(watched: Watched) -> None:
    for resource in WATCHED:
        assert not watched.store.synced.is_set()
        watched.store.listed(resource, [], "1")
    assert watched.store.synced.is_set()
