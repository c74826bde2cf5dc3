"""What Envoy gets in documented situations, whole; and that the real Envoy takes it.

After a wanted change: PUNA_GOLDEN=write pytest tests/router/test_golden.py, then read the
difference as a user would.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from puna_router.config import Backend, EndpointConfig
from puna_router.control.binary import find_envoy
from puna_router.control.bootstrap import bootstrap
from puna_router.control.external import SecretData, external_hosts
from puna_router.control.keys.ring import read_ring
from puna_router.control.picker_file import picker_config
from puna_router.control.prepare import prepare
from puna_router.control.secret import Secret
from puna_router.control.select_filter import looked_up
from puna_router.control.snapshot import render
from puna_router.control.static import shape, static_configuration
from puna_router.control.world import Served, Site, World

GOLDEN = Path(__file__).parents[1] / "golden" / "router"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def read(case: str) -> tuple[World, Site]:
    given = json.loads((GOLDEN / case / "input.json").read_text())
    secrets = {
        name: {member: text.encode() for member, text in members.items()}
        for name, members in given.get("secrets", {}).items()
    }
    endpoints = tuple(served(entry, secrets) for entry in given["endpoints"])
    healthy = frozenset((name, address, port) for name, address, port in given["healthy"])
    rings = {
        name: read_ring(
            Secret(name, {key: json.dumps(text).encode() for key, text in ring.items()})
        )
        for name, ring in given.get("keys", {}).items()
    }
    world = World(endpoints, given.get("api_key"), healthy, rings, given.get("routers", 1))
    return world, Site("/run/puna", "0.0.0.0", 8080, given["namespace"])


def served(entry: Any, secrets: SecretData) -> Served:
    config = EndpointConfig.model_validate(entry["config"])
    addresses = entry.get("addresses", {})
    externals = (
        external_hosts(external, addresses[external.name], secrets)
        for external in config.external
        if external.name in addresses
    )
    return Served(
        config,
        tuple(Backend.model_validate(backend) for backend in entry["backends"]),
        tuple(host for hosts in externals for host in hosts),
    )


def rendered(case: str) -> dict[str, Any]:
    world, site = read(case)
    snapshot = render(world, site).snapshot
    picker = picker_config(world, usable=world.healthy, known=world.healthy, keys={})
    files = {
        "clusters": snapshot.clusters,
        "hosts": snapshot.hosts,
        "routes": without_sources(snapshot.routes),
        "catalogue": looked_up(world, site.namespace),
        "picker": json.loads(picker.to_json()),
    }
    if world.keys:
        files["limits"] = snapshot.limits
    if snapshot.shadow is not None:
        files["shadow"] = without_sources(snapshot.shadow)
    if case == "one-endpoint":  # the same in every case
        files["listener"] = without_sources(snapshot.listener)
        files["bootstrap"] = bootstrap(site)
    return files


def without_sources(node: Any) -> Any:
    """The Lua sources have tests of their own, and files in which they can be read."""
    if isinstance(node, dict):
        return {
            key: "..." if key == "inline_string" and "function" in value else without_sources(value)
            for key, value in node.items()
        }
    return [without_sources(item) for item in node] if isinstance(node, list) else node


@pytest.mark.parametrize("case", CASES)
def test_resources_are_as_written_down(case: str) -> None:
    for name, content in rendered(case).items():
        path = GOLDEN / case / f"{name}.json"
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        if os.environ.get("PUNA_GOLDEN") == "write":
            path.write_text(text)
        assert path.read_text() == text, f"{path.name} of {case} differs"


@pytest.mark.parametrize("case", CASES)
def test_no_golden_is_left_without_its_resource(case: str) -> None:
    expected = {"input.json", *(f"{name}.json" for name in rendered(case))}
    assert expected == {path.name for path in (GOLDEN / case).iterdir()}


@pytest.mark.parametrize("case", CASES)
def test_envoy_takes_them(case: str, tmp_path: Path) -> None:
    world, site = read(case)
    configs = tuple(shape(served.config) for served in world.endpoints)
    assert_valid(static_configuration(configs), tmp_path)
    # Validation before publication knows no hosts.
    whole = static_configuration(tuple(served.config for served in world.endpoints))
    snapshot = render(world, site).snapshot
    whole["static_resources"]["clusters"] = [
        static_cluster(name, cluster, snapshot.hosts) for name, cluster in snapshot.clusters.items()
    ]
    assert_valid(whole, tmp_path)


def static_cluster(name: str, cluster: Any, hosts: dict[str, Any]) -> Any:
    """The cluster with its hosts in it; checks write to no file."""
    cluster = {key: value for key, value in cluster.items() if key != "@type"}
    if cluster.pop("eds_cluster_config", None) is None:
        return cluster
    (check,) = cluster["health_checks"]
    assignment = {key: value for key, value in hosts[name].items() if key != "@type"}
    return {
        **cluster,
        "type": "STATIC",
        "health_checks": [{**check, "event_logger": []}],
        "load_assignment": assignment,
    }


def test_envoy_takes_the_bootstrap(tmp_path: Path) -> None:
    prepare(Site(str(tmp_path), "127.0.0.1", 8080))
    assert_valid(json.loads((tmp_path / "bootstrap.json").read_text()), tmp_path)


def assert_valid(document: Any, folder: Path) -> None:
    path = folder / "envoy.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [find_envoy(), "--mode", "validate", "--config-path", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
