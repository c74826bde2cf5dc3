from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

from puna_cli.cluster.host import find_envoy
from puna_cli.front.envoy import bootstrap, documents
from puna_cli.front.routers import RouterAddress, ready_routers
from puna_cli.front.serve import publish
from puna_cli.front.volumes import plan_volumes
from puna_cli.front.watch import Collection


def pod(namespace: str, address: str | None, *, ready: bool = True, deleted: bool = False) -> Any:
    metadata = {"name": "r", "namespace": namespace}
    return {
        "metadata": metadata | ({"deletionTimestamp": "now"} if deleted else {}),
        "spec": {
            "containers": [
                {"name": "control", "ports": [{"name": "control", "containerPort": 9090}]},
                {"name": "envoy", "ports": [{"name": "http", "containerPort": 8080}]},
            ]
        },
        "status": {
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def test_only_ready_routers_that_stay_take_requests() -> None:
    pods = [
        pod("a", "127.77.0.2"),
        pod("a", "127.77.0.1"),
        pod("a", "127.77.0.3", ready=False),
        pod("a", "127.77.0.4", deleted=True),
        pod("b", None),
    ]
    assert ready_routers(pods) == {
        "a": (RouterAddress("127.77.0.1", 8080), RouterAddress("127.77.0.2", 8080)),
        "b": (),
    }


def test_files_appear_before_what_names_them() -> None:
    names = [name for name, _ in documents("c", Path("/d"), {"team": ()})]
    assert names == ["eds-default.json", "eds-team.json", "cds.json", "rds.json"]


def routes(routers: dict[str, tuple[RouterAddress, ...]]) -> list[Any]:
    document = dict(documents("c", Path("/d"), routers))["rds.json"]
    found: list[Any] = document["resources"][0]["virtual_hosts"][0]["routes"]
    return found


def test_a_namespace_is_chosen_by_path_and_the_path_is_cut() -> None:
    paths = {route["match"].get("prefix"): route for route in routes({"team": ()})}
    assert paths["/namespaces/team/"]["route"]["prefix_rewrite"] == "/"
    assert paths["/namespaces/team/"]["route"]["cluster"] == "team"
    assert paths["/namespaces/"]["direct_response"]["status"] == 503
    assert paths["/"]["route"]["cluster"] == "default"
    assert "prefix_rewrite" not in paths["/"]["route"]


def test_no_route_ends_a_stream_by_time() -> None:
    forwarding = [route["route"] for route in routes({"team": ()}) if "route" in route]
    assert {route["timeout"] for route in forwarding} == {"0s"}


def test_envoy_accepts_the_configuration(tmp_path: Path) -> None:
    routers = {"team": (RouterAddress("127.0.0.1", 8080),)}
    for name, document in documents("c", tmp_path, routers):
        publish(tmp_path, name, document)
    publish(tmp_path, "bootstrap.json", bootstrap(tmp_path, 18080))
    done = subprocess.run(
        [find_envoy(), "--mode", "validate", "-c", str(tmp_path / "bootstrap.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def claim(**spec: Any) -> Any:
    return {
        "metadata": {"namespace": "team", "name": "models", "uid": "u1"},
        "spec": {
            "storageClassName": "folder",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
    }


def test_a_waiting_claim_gets_the_folder_of_its_name() -> None:
    plan = plan_volumes([claim()], [], Path("/v"))
    (volume,) = plan.create
    assert volume["metadata"]["name"] == "pvc-u1"
    assert volume["spec"]["hostPath"] == {"path": "/v/team/models"}
    assert volume["spec"]["claimRef"]["uid"] == "u1"
    assert volume["spec"]["capacity"] == {"storage": "1Gi"}
    assert plan_volumes([claim()], [volume], Path("/v")).create == ()


def test_claims_of_other_classes_and_bound_ones_are_left_alone() -> None:
    claims = [claim(storageClassName="other"), claim(volumeName="pvc-u1")]
    assert plan_volumes(claims, [], Path("/v")).create == ()


def test_a_released_volume_of_ours_goes_and_a_foreign_one_stays() -> None:
    (ours,) = plan_volumes([claim()], [], Path("/v")).create
    released = {**ours, "status": {"phase": "Released"}}
    foreign = {"metadata": {"name": "nfs"}, "status": {"phase": "Released"}}
    assert plan_volumes([], [released, foreign], Path("/v")).delete == ("pvc-u1",)


def test_a_collection_follows_events_in_order() -> None:
    collection = Collection("/api/v1/pods", asyncio.Event())
    first, second = {"metadata": {"uid": "1"}}, {"metadata": {"uid": "2"}}
    collection.replace([first])
    collection.apply("ADDED", second)
    collection.apply("MODIFIED", {"metadata": {"uid": "1"}, "x": 1})
    collection.apply("DELETED", second)
    assert collection.objects == {"1": {"metadata": {"uid": "1"}, "x": 1}}
    assert collection.changed.is_set()


def test_a_published_file_is_replaced_whole(tmp_path: Path) -> None:
    publish(tmp_path, "f.json", {"a": 1})
    publish(tmp_path, "f.json", {"a": 2})
    assert json.loads((tmp_path / "f.json").read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["f.json"]
