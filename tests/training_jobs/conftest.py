"""Training jobs on a real control plane: its Job controller, a node agent and the operator."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from puna.cluster.resources import JOBS, TRAINING_JOBS
from puna.core.plan import Manifest
from puna.settings import IMAGE_TRAINER
from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.workload import TRAINER_COMMAND, TRAINER_PATHS
from puna_node.config import Profile
from puna_trainer.progress import Result
from tests.cluster import ControlPlane, eventually
from tests.node.agents import AgentProcess, new_agent
from tests.operator_process import OperatorProcess, operator

STAND_IN = Path(__file__).with_name("stand_in.py")
CLAIM = "runs"
WAITS = [{"wait": True, "at": 4}]
"""Order for the first attempt: it takes four steps, and waits to be ended."""
UNSERVED = {"example.org/kubelet": "none"}
"""Labels of a node that nobody serves: a test says how its Pods end."""


@dataclass(frozen=True, slots=True)
class Lab:
    """One namespace with a claim, and what tests ask of it."""

    plane: ControlPlane
    namespace: str
    api: LocalApi
    claims: Path

    def start(self, name: str = "mnist", *, orders: Any = None, **spec: Any) -> None:
        """Apply a TrainingJob, with orders for its attempts."""
        folder = self.output(name)
        folder.mkdir(parents=True, exist_ok=True)
        if orders is not None:
            (folder / "orders.json").write_text(json.dumps(orders))
        minimal: dict[str, Any] = {
            "task": "ImageClassification",
            "model": {"name": "cnn_mnist"},
            "dataset": {"uri": f"pvc://{CLAIM}/data", "format": "idx"},
            "hyperparameters": {"maxSteps": 20},
            "checkpoint": {"everySteps": 3},
            "output": {"persistentVolumeClaim": {"claimName": CLAIM}},
            "accelerator": "cpu",
        }
        self.apply(
            {
                "apiVersion": TRAINING_JOBS.api_version,
                "kind": TRAINING_JOBS.kind,
                "metadata": {"name": name},
                "spec": minimal | spec,
            }
        )

    def apply(self, manifest: Manifest) -> None:
        """Apply an object of this namespace as a user."""
        metadata = manifest["metadata"] | {"namespace": self.namespace}
        self.plane.apply(manifest | {"metadata": metadata})

    def kubectl(self, *arguments: str) -> str:
        """Output of kubectl for this namespace."""
        return self.plane.kubectl("-n", self.namespace, *arguments)

    def output(self, name: str = "mnist") -> Path:
        """Output folder of a run."""
        return self.claims / self.namespace / CLAIM / name

    def state(self, name: str = "mnist") -> dict[str, Any]:
        """What the stand-in has kept."""
        found: dict[str, Any] = json.loads((self.output(name) / "state.json").read_text())
        return found

    def job(self, name: str = "mnist") -> Manifest:
        """A TrainingJob as it is now; empty where there is none."""
        return self.api.get(TRAINING_JOBS.path(self.namespace, name)) or {}

    def status(self, name: str = "mnist") -> Manifest:
        """Its status."""
        status: Manifest = self.job(name).get("status", {})
        return status

    def condition(self, kind: str, name: str = "mnist") -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        for condition in self.status(name).get("conditions", ()):
            if condition["type"] == kind:
                return condition["status"], condition["reason"], condition["message"]
        return "", "", ""

    def jobs(self) -> list[Manifest]:
        """All batch Jobs."""
        return list((self.api.get(JOBS.path(self.namespace)) or {"items": []})["items"])

    def pods(self) -> list[Manifest]:
        """All Pods, oldest first."""
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods") or {"items": []}
        return sorted(found["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def until(self, fact: Callable[[], Any], what: str, seconds: float = 60) -> None:
        """Wait until a fact holds; the status says why it does not."""
        try:
            eventually(fact, seconds=seconds, what=what)
        except AssertionError as error:
            seen = json.dumps([self.status(), *self.pods(), *self.jobs()], indent=1)
            raise AssertionError(f"{error}\n{seen}") from None

    def hold(self, stage: str, name: str = "mnist") -> Path:
        """Have a run wait in a stage for as long as the file is there."""
        file = self.output(name) / f"hold-{stage}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        return file

    def until_step(self, step: int, name: str = "mnist") -> None:
        """Wait until the trainer has come that far."""
        file = self.output(name) / "state.json"
        self.until(
            lambda: file.exists() and json.loads(file.read_text())["step"] >= step, f"step {step}"
        )

    def until_ended(self, kind: str, name: str = "mnist", seconds: float = 90) -> str:
        """Wait until the job is Complete or Failed; the reason."""
        self.until(lambda: self.condition(kind, name)[0] == "True", kind, seconds)
        return self.condition(kind, name)[1]


def ended(
    lab: Lab,
    pod: Manifest,
    code: int,
    *,
    reason: str = "Error",
    result: Result | None = None,
    conditions: Sequence[Manifest] = (),
) -> None:
    """Say of a Pod that nobody runs how it ended, as a kubelet would."""
    terminated = {
        "exitCode": code,
        "reason": reason,
        "message": result.model_dump_json(by_alias=True) if result else "",
        "finishedAt": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    container = {
        "name": "trainer",
        "image": "trainer",
        "imageID": "trainer",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    status = {
        "phase": "Failed",
        "containerStatuses": [container],
        "conditions": [*pod["status"].get("conditions", ()), *conditions],
    }
    arguments = ("pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p")
    lab.kubectl("patch", *arguments, json.dumps({"status": status}))


def new_node(plane: ControlPlane, folder: Path, name: str) -> AgentProcess:
    """A node whose trainer is the stand-in."""
    profile = Profile(
        image=IMAGE_TRAINER,
        command=TRAINER_COMMAND,
        run=(sys.executable, "-P", str(STAND_IN)),
        flags=(),
        path_members=TRAINER_PATHS,
    )
    return new_agent(plane, folder, folder, name=name, profiles=(profile,))


@pytest.fixture(scope="session")
def node(controlled_plane: ControlPlane) -> Iterator[AgentProcess]:
    """The node of all tests that do nothing to it."""
    folder = Path(tempfile.mkdtemp(prefix="pt-"))
    process = new_node(controlled_plane, folder, "trainer-node")
    process.start()
    process.wait_ready()
    yield process
    process.end()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(controlled_plane: ControlPlane, node: AgentProcess) -> Iterator[Lab]:
    """A namespace of its own, without an operator."""
    with new_lab(controlled_plane, node) as made:
        yield made


class new_lab:  # noqa: N801 - a context manager that reads as a function
    """A namespace with a bound claim, whose Pods end with the test."""

    def __init__(self, plane: ControlPlane, node: AgentProcess) -> None:
        self.plane, self.node = plane, node

    def __enter__(self) -> Lab:
        namespace = self.plane.new_namespace("train")
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        eventually(lambda: self.plane.get(account), what="the default ServiceAccount")
        self.api = LocalApi(self.plane.paths, self.plane.server).__enter__()
        assert self.node.config.volume_root is not None
        self.lab = Lab(self.plane, namespace, self.api, Path(self.node.config.volume_root))
        for manifest in claim(namespace):
            self.plane.apply(manifest)
        return self.lab

    def __exit__(self, *_: object) -> None:
        self.plane.kubectl("delete", "namespace", self.lab.namespace, "--wait=false")
        self.plane.kubectl("delete", "persistentvolume", self.lab.namespace, "--wait=false")
        self.api.__exit__(None, None, None)


def claim(namespace: str) -> tuple[Manifest, Manifest]:
    """A volume and its claim; a node agent knows the claim's folder by its name."""
    size = {"storage": "1Gi"}
    modes = ["ReadWriteMany"]
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": namespace},
        "spec": {
            "accessModes": modes,
            "capacity": size,
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": CLAIM},
            "hostPath": {"path": "/nowhere"},
        },
    }
    asked = {
        "accessModes": modes,
        "resources": {"requests": size},
        "storageClassName": "",
        "volumeName": namespace,
    }
    return volume, {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": namespace},
        "spec": asked,
    }


@pytest.fixture
def running(lab: Lab, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that serves this namespace alone."""
    scope = {"WATCH_NAMESPACE": lab.namespace, "TRAINING_RENDEZVOUS": "Volume"}
    with operator(lab.plane.kubeconfig, tmp_path / "puna.log", **scope) as process:
        yield process
