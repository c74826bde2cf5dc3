"""Row 9: a fault is one clear condition, costs nothing while it lasts, and ends with its cause.

All faults stand side by side in one namespace, so that what they cost together is measured once.
"""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from puna.core.naming import endpoint_port
from tests.cluster import LocalCluster
from tests.e2e.models import Models
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, Objects, condition
from tests.e2e.processes import operator_cpu_over
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

WATCHED_SECONDS = 5.0
IDLE_CPU_SECONDS = 0.5
"""What an operator may use in that time, all faults together: a tenth of what it could."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The condition that a fault gives."""

    condition: str
    reason: str
    words: tuple[str, ...]
    """What its message has to hold: the field, the object, the way out."""


@dataclass(slots=True)
class Scene:
    """Where all faults happen, and what holds them up."""

    stage: Stage
    holding: ExitStack
    taken: socket.socket | None = None
    web: str = ""
    """URL of a folder with the model, without its port's address."""
    missing: Path = field(default_factory=Path)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong."""

    expected: Expected
    cause: Callable[[Scene, str], None]
    cure: Callable[[Scene, str], None]
    object: str = "LLMEndpoint"


def plain(scene: Scene, name: str, **spec: Any) -> None:
    scene.stage.apply(scene.stage.endpoint(name, **spec))


def with_model(scene: Scene, name: str, **model: Any) -> None:
    source = {**scene.stage.models.tiny.source, **model}
    endpoint = scene.stage.endpoint(name)
    endpoint["spec"]["model"] = {key: value for key, value in source.items() if value is not None}
    scene.stage.apply(endpoint)


def good_model(scene: Scene, name: str) -> None:
    """A JSON merge patch: members that the tiny model has not are removed."""
    bare = {"credentialsSecretRef": None, "caSecretRef": None}
    scene.stage.patch(name, model={**bare, **scene.stage.models.tiny.source})


def broken_file(scene: Scene, name: str, content: bytes) -> None:
    path = scene.stage.models.folder / f"{name}.gguf"
    path.write_bytes(content)
    with_model(scene, name, uri=f"file://{path}", sha256=None)


def truncated(scene: Scene, name: str) -> None:
    whole = scene.stage.models.tiny.path.read_bytes()
    broken_file(scene, name, whole[: len(whole) // 2])


def missing_file(scene: Scene, name: str) -> None:
    scene.missing = scene.stage.models.folder / "later.gguf"
    with_model(scene, name, uri=f"file://{scene.missing}")


def file_appears(scene: Scene, _: str) -> None:
    unfinished = scene.missing.with_suffix(".part")
    unfinished.write_bytes(scene.stage.models.tiny.path.read_bytes())
    unfinished.rename(scene.missing)


def port_taken(scene: Scene, name: str) -> None:
    taken = scene.holding.enter_context(socket.socket())
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("0.0.0.0", endpoint_port(scene.stage.namespace, name)))
    taken.listen()
    scene.taken = taken
    plain(scene, name)


def port_freed(scene: Scene, _: str) -> None:
    assert scene.taken is not None
    scene.taken.close()


def foreign(scene: Scene, name: str, *, kind: str, child: str, members: Manifest) -> None:
    scene.stage.apply(scene.stage.manifest(kind, child.format(name=name), **members))
    plain(scene, name)


def foreign_deleted(scene: Scene, name: str, *, kind: str, child: str) -> None:
    namespace, full = scene.stage.namespace, child.format(name=name)
    found = scene.stage.objects.get(kind, namespace, full)
    assert found is not None
    assert "ownerReferences" not in found["metadata"], "it was taken over"
    scene.stage.objects.delete(kind, namespace, full)


def refused_address(scene: Scene, name: str) -> None:
    """The IPv6 loopback: the cluster's operator may use 127.0.0.0/8 alone."""
    with_model(scene, name, uri=f"http://[::1]:{scene.web}/tiny.gguf")


def allowed_address(scene: Scene, name: str) -> None:
    scene.stage.patch(name, model={"uri": f"http://127.0.0.1:{scene.web}/tiny.gguf"})


def claim_made(scene: Scene, name: str) -> None:
    folder = scene.stage.cluster.paths.volumes / scene.stage.namespace / name
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(scene.stage.models.tiny.path.read_bytes())
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    scene.stage.apply(scene.stage.manifest("PersistentVolumeClaim", name, spec=spec))


def quota_exceeded(scene: Scene, name: str) -> None:
    """No Pod may ask for this much; those of the other faults ask for less."""
    spec = {"hard": {"limits.ephemeral-storage": "1Mi"}}
    scene.stage.apply(scene.stage.manifest("ResourceQuota", name, spec=spec))
    plain(scene, name, resources={"limits": {"ephemeral-storage": "2Mi"}})


FOREIGN_SERVICE: dict[str, Any] = {"spec": {"ports": [{"port": 80}]}}
FOREIGN_DATA: dict[str, Any] = {"data": {"mine": "yes"}}
FAULTS = {
    "checksum": Fault(
        Expected("ModelReady", "ChecksumMismatch", ("sha256", "tiny.gguf")),
        partial(with_model, sha256="0" * 64),
        good_model,
    ),
    "missing": Fault(
        Expected("ModelReady", "FileNotFound", ("later.gguf",)), missing_file, file_appears
    ),
    "preset": Fault(
        Expected("ResolvedRefs", "PresetNotFound", ("spec.presetRef.name", "nobody")),
        partial(plain, preset="nobody"),
        lambda scene, _: scene.stage.apply(scene.stage.preset("nobody", temperature=0)),
    ),
    "accelerator": Fault(
        Expected("Progressing", "Unschedulable", ("nvidia.com/gpu",)),
        partial(plain, accelerator="cuda"),
        lambda scene, name: scene.stage.patch(name, accelerator="cpu"),
    ),
    "port": Fault(Expected("Available", "PortInUse", ("port",)), port_taken, port_freed),
    "truncated": Fault(
        Expected("ModelReady", "InvalidModel", ("truncated.gguf",)), truncated, good_model
    ),
    "garbage": Fault(
        Expected("ModelReady", "InvalidModel", ("GGUF",)),
        partial(broken_file, content=b"This is no model at all.\n" * 100),
        good_model,
    ),
    "service": Fault(
        Expected("Accepted", "NameConflict", ("Service service", "delete it")),
        partial(foreign, kind="Service", child="{name}", members=FOREIGN_SERVICE),
        partial(foreign_deleted, kind="Service", child="{name}"),
    ),
    "configmap": Fault(
        Expected("Accepted", "NameConflict", ("ConfigMap configmap-router-config", "delete it")),
        partial(foreign, kind="ConfigMap", child="{name}-router-config", members=FOREIGN_DATA),
        partial(foreign_deleted, kind="ConfigMap", child="{name}-router-config"),
    ),
    "address": Fault(
        Expected("ModelReady", "AddressRefused", ("::1",)), refused_address, allowed_address
    ),
    "quota": Fault(
        Expected("Progressing", "QuotaExceeded", ("exceeded quota", "quota")),
        quota_exceeded,
        lambda scene, name: scene.stage.objects.delete(
            "ResourceQuota", scene.stage.namespace, name
        ),
    ),
    "claim": Fault(
        Expected("ResolvedRefs", "VolumeClaimNotFound", ("spec.model.uri", "claim")),
        partial(with_model, uri="pvc://claim/tiny.gguf"),
        claim_made,
    ),
    "secret": Fault(
        Expected("ResolvedRefs", "SecretNotFound", ("Secret token", "create it")),
        partial(with_model, credentialsSecretRef={"name": "token"}),
        lambda scene, _: scene.stage.apply(
            scene.stage.manifest("Secret", "token", stringData={"token": "open sesame"})
        ),
    ),
}


class Files(http.server.SimpleHTTPRequestHandler):
    """A folder over HTTP that says nothing."""

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def scene(local_cluster: LocalCluster, objects: Objects, models: Models) -> Iterator[Scene]:
    """All faults, caused."""
    stage = Stage(local_cluster, objects, models, local_cluster.new_namespace("faults"))
    assert models.tiny.path.exists()
    with ExitStack() as holding:
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Files, directory=str(models.folder))
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        holding.callback(server.server_close)
        holding.callback(server.shutdown)
        scene = Scene(stage, holding, web=str(server.server_port))
        for name, fault in FAULTS.items():
            fault.cause(scene, name)
        yield scene
        stage.delete_everything()


@pytest.fixture(scope="module")
def cured(scene: Scene) -> Scene:
    """All causes gone."""
    for name, fault in FAULTS.items():
        fault.cure(scene, name)
    return scene


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_clear_condition(scene: Scene, name: str) -> None:
    expected = FAULTS[name].expected
    found = scene.stage.wait_condition(name, expected.condition, expected.reason)
    for word in expected.words:
        assert word in found["message"], found["message"]
    summary = condition(scene.stage.find(name), "Ready")
    assert (summary["status"], summary["reason"]) == ("False", expected.reason)


def test_an_event_tells_of_each_fault_once(scene: Scene) -> None:
    events = scene.stage.objects.all("Event", scene.stage.namespace)
    told: dict[str, list[str]] = {name: [] for name in FAULTS}
    for event in events:
        about = involved(event)
        if about["kind"] == "LLMEndpoint" and event["type"] == "Warning":
            told[about["name"]].append(event.get("message") or event.get("note") or "")
    reasons = {name: fault.expected.reason for name, fault in FAULTS.items()}
    counts = {
        name: sum(reason in message for message in told[name]) for name, reason in reasons.items()
    }
    assert counts == dict.fromkeys(FAULTS, 1), told


def involved(event: Manifest) -> Manifest:
    """What an Event is about, in either API."""
    about: Manifest = event.get("involvedObject") or event.get("regarding") or {}
    return about


def test_the_operator_is_idle_while_they_last(scene: Scene) -> None:
    used = operator_cpu_over(scene.stage.cluster, WATCHED_SECONDS)
    note(f"operator: {used:.2f} CPU s in {WATCHED_SECONDS:.0f} s with {len(FAULTS)} faults")
    assert used <= IDLE_CPU_SECONDS


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_cured_with_its_cause(cured: Scene, name: str) -> None:
    cured.stage.wait_ready(name, seconds=90)
    assert cured.stage.ask(name)["choices"]
