"""What a plan may see, and what it is not bothered with."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import LLMEndpointStatus
from puna.api.reasons import ConditionType, Reason
from puna.cluster.resources import BY_KIND
from puna.core.plan import Manifest, Ref
from puna.endpoint.unreadable import unreadable_status
from puna.logs import LineFormatter
from puna.observe import (
    anchor_of,
    backend_key,
    document_of,
    needs_router_state,
    pods_of,
    starting_seconds,
)
from puna.parsed import InvalidResourceError, Parsed
from puna.store import Store
from puna_router.config import config_digest
from tests import factories
from tests.unit.operator_shell import objects

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def status(*, ready: bool) -> dict[str, object]:
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "Ready" if ready else "RouterNotReady",
        "lastTransitionTime": NOW.isoformat(),
    }
    return {"conditions": [condition]}


def deployment(process: str) -> Manifest:
    return objects.live("Deployment", process, metadata={"labels": {"puna.dev/process": process}})


@pytest.mark.parametrize(
    ("ready", "pod_ready", "processes", "known", "asked"),
    [
        (None, True, ["a"], True, True),
        (False, True, ["a"], True, True),
        (False, False, ["a"], True, False),
        (True, True, ["a"], True, False),
        (True, True, ["a"], False, True),
        (True, False, ["a"], False, False),
        (True, True, ["a", "b"], True, True),
        (True, False, ["a", "b"], True, False),
    ],
)
def test_routers_are_asked_only_where_the_plan_depends_on_them(
    ready: bool | None,  # noqa: FBT001 - a row of the table
    pod_ready: bool,  # noqa: FBT001 - a row of the table
    processes: list[str],
    known: bool,  # noqa: FBT001 - a row of the table
    asked: bool,  # noqa: FBT001 - a row of the table
) -> None:
    endpoint = factories.endpoint(status={} if ready is None else status(ready=ready))
    children = [deployment(process) for process in processes]
    pods = [objects.pod("p", ready=pod_ready)]
    assert needs_router_state(endpoint, children, pods, known=known) is asked


def test_routers_are_asked_about_external_servers_too() -> None:
    studio = {"name": "studio", "url": "https://studio.example"}
    endpoint = factories.endpoint(replicas=0, externalEndpoints=[studio])
    assert needs_router_state(endpoint, [], [], known=True)


def test_a_document_is_known_by_its_digest() -> None:
    anchor = objects.anchor()
    config = anchor | {"data": {"endpoint.json": "{}"}}
    assert document_of([anchor]) is None
    assert document_of([anchor, config]) == config_digest("{}")


def young(process: str, *, replicas: int = 1, age: float = 0.5) -> Manifest:
    created = (NOW - timedelta(seconds=age)).isoformat()
    made = deployment(process)
    made["metadata"]["creationTimestamp"] = created
    return made | {"spec": {"replicas": replicas}}


def placed(process: str) -> Manifest:
    made = objects.pod(process, ready=False)
    made["metadata"]["labels"]["puna.dev/process"] = process
    return made


@pytest.mark.parametrize(
    ("deployments", "pods", "seconds"),
    [
        ([], [], 0.0),
        ([young("a")], [], 1.5),
        ([young("a")], [placed("a")], 0.0),
        ([young("a", replicas=2)], [placed("a")], 1.5),
        ([young("a", replicas=0)], [], 0.0),
        ([young("a", age=9), young("b", age=1)], [], 1.0),
        ([young("a", age=9)], [], 0.0),
        ([young("a", age=-60)], [], 0.0),
    ],
)
def test_a_status_waits_a_moment_for_the_pods_of_a_new_deployment(
    deployments: list[Manifest], pods: list[Manifest], seconds: float
) -> None:
    seen = factories.observed(children=tuple(deployments), pods=tuple(pods))
    assert starting_seconds(seen, NOW) == seconds


def store_of(*manifests: Manifest) -> Store:
    store = Store(lambda _: None)
    for manifest in manifests:
        store.changed(BY_KIND[manifest["kind"]], "ADDED", manifest)
    return store


def test_pods_are_those_that_the_endpoints_deployments_made() -> None:
    stray = objects.pod("stray", ready=True)
    stray["metadata"]["ownerReferences"] = []
    other = objects.pod("other", ready=True)
    other["metadata"]["ownerReferences"][0]["name"] = "web-x-1"
    store = store_of(objects.pod("ours", ready=True), stray, other, objects.child())
    found = pods_of(store, Ref(objects.TEAM, "chat"))
    assert [pod["metadata"]["name"] for pod in found] == ["ours"]


def applied(manifest: Manifest) -> Manifest:
    entry = {"manager": "puna", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}}
    return manifest | {"metadata": manifest["metadata"] | {"managedFields": [entry]}}


def test_an_anchor_is_ours_only_if_we_applied_it() -> None:
    assert anchor_of(store_of(objects.anchor()), objects.TEAM) is None
    assert anchor_of(store_of(applied(objects.anchor())), objects.TEAM) is not None


def test_a_backend_key_that_the_anchor_does_not_own_is_not_used() -> None:
    anchor = applied(objects.anchor())
    foreign = objects.backend_key()
    assert backend_key(store_of(anchor, foreign), objects.TEAM) is None
    owner = {"uid": anchor["metadata"]["uid"], "controller": True}
    ours = objects.backend_key(metadata={"ownerReferences": [owner]})
    assert backend_key(store_of(anchor, ours), objects.TEAM) is not None


def test_every_version_of_a_resource_is_read_once() -> None:
    parsed = Parsed(LLMEndpoint)
    first = parsed.parse(objects.endpoint())
    assert parsed.parse(objects.endpoint()) is first
    newer = objects.endpoint()
    newer["metadata"]["resourceVersion"] = "2"
    assert parsed.parse(newer) is not first


def test_a_status_that_another_operator_wrote_counts_as_none() -> None:
    manifest = objects.endpoint(status={"conditions": [{"type": "Unheard"}], "replicas": 3})
    assert Parsed(LLMEndpoint).parse(manifest).status == LLMEndpointStatus()


def test_a_spec_that_cannot_be_read_is_named_by_its_field() -> None:
    manifest = objects.endpoint(spec={"accelerator": "abacus", "model": {"uri": "file:///m"}})
    with pytest.raises(InvalidResourceError, match=r"LLMEndpoint chat: spec\.accelerator"):
        Parsed(LLMEndpoint).parse(manifest)


def test_an_unreadable_spec_is_told_in_the_status_and_nothing_else_changes() -> None:
    manifest = objects.endpoint(status=status(ready=True) | {"replicas": 2})
    told = unreadable_status(manifest, "spec.x: no", NOW)
    assert {item.type: (item.status, item.reason) for item in told.conditions} == {
        ConditionType.ACCEPTED: ("False", Reason.INVALID_SPEC),
        ConditionType.READY: ("False", Reason.INVALID_SPEC),
    }
    assert told.replicas == 2
    again = unreadable_status(manifest | {"status": told.to_dict()}, "spec.x: no", NOW)
    assert again == told


def test_a_log_record_is_one_line_even_with_a_traceback() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        record = logging.LogRecord(
            "puna", logging.ERROR, __file__, 1, "two\nlines", (), (ValueError, error, None)
        )
    line = LineFormatter().format(record)
    assert "\n" not in line
    assert "level=error" in line
    assert "JSONDecodeError" in line
