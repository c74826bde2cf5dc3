"""Training runs in a namespace of a whole cluster: what users do to them, and what they leave."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from tests.cluster import LocalCluster, eventually
from tests.e2e.objects import Manifest, Objects, condition
from tests.trainer.mnist import FILES, mnist

T = TypeVar("T")
CLAIM = "runs"
LOOK_SECONDS = 0.2
"""Seldom enough to leave the processors to the trainer."""
HEADER_BYTES = {"images": 16, "labels": 8}
"""Of an idx file: a magic number and a number for each dimension, four bytes each."""
PICTURE_BYTES = 28 * 28


@dataclass(frozen=True, slots=True)
class Training:
    """A namespace in which runs are carried out, with a claim for their data and outputs."""

    cluster: LocalCluster
    objects: Objects
    namespace: str

    @property
    def claim(self) -> Path:
        """Folder of the claim."""
        return self.cluster.paths.volumes / self.namespace / CLAIM

    def output(self, name: str) -> Path:
        """Output folder of a run."""
        return self.claim / name

    def kubectl(self, *args: str, seconds: float = 60) -> str:
        """Output of kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *args, seconds=seconds)

    def apply(self, name: str, **spec: Any) -> None:
        """Apply a TrainingJob."""
        self.objects.apply(
            {
                "apiVersion": "puna.dev/v1alpha1",
                "kind": "TrainingJob",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": spec,
            }
        )

    def make_claim(self, name: str = CLAIM) -> None:
        """Apply a claim as the examples have it."""
        self.objects.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )

    def patch(self, name: str, **spec: Any) -> None:
        """Change members of a TrainingJob's spec."""
        self.objects.patch("TrainingJob", self.namespace, name, {"spec": spec})

    def status(self, name: str) -> Manifest:
        """Status of a TrainingJob; empty before there is one."""
        found = self.objects.get("TrainingJob", self.namespace, name) or {}
        status: Manifest = found.get("status", {})
        return status

    def condition(self, name: str, kind: str) -> Manifest:
        """A condition of a TrainingJob; empty where there is none."""
        return condition(self.objects.get("TrainingJob", self.namespace, name), kind)

    def pods(self, name: str) -> list[Manifest]:
        """Pods of a run, oldest first."""
        found = self.objects.all("Pod", self.namespace, f"puna.dev/training-job={name}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def jobs(self, name: str) -> list[Manifest]:
        """Jobs of a run."""
        return self.objects.all("Job", self.namespace, f"puna.dev/training-job={name}")

    def until(
        self, fact: Callable[[], T | None], name: str, what: str, *, seconds: float = 60
    ) -> T:
        """What `fact` gives once it gives something; what the run says if it does not."""
        deadline = time.monotonic() + seconds
        while True:
            answer = fact()
            if answer is not None and answer is not False:
                return answer
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.story(name)}")
            time.sleep(LOOK_SECONDS)

    def until_saved(self, name: str, step: int, *, seconds: float = 60) -> None:
        """Wait until the checkpoint of a step, or one after it, is there."""
        self.until(
            lambda: newest_step(self.output(name)) >= step, name, f"step {step}", seconds=seconds
        )

    def until_condition(self, name: str, kind: str, *, seconds: float = 60) -> None:
        """Wait until a condition is True."""
        self.until(
            lambda: self.condition(name, kind).get("status") == "True", name, kind, seconds=seconds
        )

    def until_ended(self, name: str, kind: str = "Complete", *, seconds: float = 120) -> Manifest:
        """Wait until a run is Complete or Failed; its status."""
        self.until_condition(name, kind, seconds=seconds)
        return self.status(name)

    def story(self, name: str) -> str:
        """What the cluster says of a run and its Pods, and what the trainer wrote last."""
        status = {**self.status(name), "progress": "..."}
        lines = [json.dumps(status, indent=1)]
        for pod in self.pods(name):
            told = self.kubectl("logs", pod["metadata"]["name"], "--tail=8")
            lines += [f"{pod['metadata']['name']}: {pod['status']}", told]
        return "\n".join(lines)

    def log(self, name: str) -> list[dict[str, Any]]:
        """What a run logged: a line for each step, evaluation and epoch."""
        text = (self.output(name) / "logs" / "log.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def losses(self, name: str) -> list[float]:
        """The loss of each step."""
        return [float(entry["loss"]) for entry in self.log(name) if entry["kind"] == "step"]

    def delete(self) -> None:
        """Delete what runs here, and wait until no Pod is left."""
        for kind in ("TrainingJob", "LLMEndpoint"):
            for found in self.objects.all(kind, self.namespace):
                self.objects.delete(kind, self.namespace, found["metadata"]["name"])
        eventually(lambda: not self.objects.all("Pod", self.namespace), seconds=60, what="no Pods")


def new_training(cluster: LocalCluster, objects: Objects, prefix: str) -> Training:
    """A namespace for runs."""
    assert find_spec("torch"), "the trainer's libraries are not there: make training"
    return Training(cluster, objects, cluster.new_namespace(prefix))


def newest_step(output: Path) -> int:
    """The step of a run's newest checkpoint; 0 before there is one."""
    try:
        latest = json.loads((output / "checkpoints" / "latest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0
    return int(latest["step"])


def copy_mnist(folder: Path) -> None:
    """The four files of MNIST."""
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(mnist() / name, folder)


def copy_some_of_mnist(folder: Path, *, train: int, test: int) -> None:
    """The first images of MNIST, in four files as well."""
    folder.mkdir(parents=True)
    for name in FILES:
        data = (mnist() / name).read_bytes()
        count = train if name.startswith("train") else test
        kind = "images" if "images" in name else "labels"
        size = PICTURE_BYTES if kind == "images" else 1
        start = HEADER_BYTES[kind]
        header = data[:4] + count.to_bytes(4, "big") + data[8:start]
        (folder / name).write_bytes(header + data[start : start + count * size])


def attempts_of(status: Manifest) -> list[Manifest]:
    """Attempts of a run, oldest first."""
    attempts: list[Manifest] = status["lineage"]["attempts"]
    return attempts


def exit_codes(status: Manifest) -> list[int]:
    """Exit codes of a run's attempts."""
    return [attempt["exitCode"] for attempt in attempts_of(status)]
