from __future__ import annotations

from puna.core.plan import Manifest, ObjectKey, key_of, prune


def an_object(name: str, *, kind: str = "Service", **metadata: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", **metadata},
    }


def test_an_object_is_known_by_version_kind_namespace_and_name() -> None:
    assert key_of(an_object("chat")) == ObjectKey("v1", "Service", "team", "chat")


def test_what_is_wanted_no_longer_is_pruned() -> None:
    observed = [an_object("a"), an_object("b"), an_object("a", kind="ConfigMap")]
    assert prune(observed, [an_object("a", uid="other")]) == (observed[1], observed[2])


def test_what_is_being_deleted_is_not_deleted_again() -> None:
    assert prune([an_object("a", deletionTimestamp="now")], []) == ()
