"""The example of a classifier, as a user goes through it: real MNIST, three epochs, the trainer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import LocalCluster
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, Objects
from tests.e2e.training import PICTURE_BYTES, Training, copy_mnist, new_training
from tests.trainer.mnist import mnist

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "04-train-mnist"
LEAST_ACCURACY = 0.985
COLUMNS = ["NAME", "STAGE", "EPOCH", "STEP", "LOSS", "METRIC", "ETA", "AGE"]
LIMIT_SECONDS = 800
"""Two slow cores, with others at work beside, take their time."""


@pytest.fixture(scope="module")
def training(local_cluster: LocalCluster, objects: Objects) -> Iterator[Training]:
    """The example's run, which has begun."""
    made = new_training(local_cluster, objects, "mnist")
    copy_mnist(made.claim / "mnist-data")
    made.kubectl("apply", "-f", str(EXAMPLE))
    yield made
    made.kubectl("delete", "-f", str(EXAMPLE), "--timeout=30s")
    made.delete()


@pytest.fixture(scope="module")
def watching(training: Training) -> Iterator[subprocess.Popen[str]]:
    """`puna train watch` from the beginning on."""
    cluster = training.cluster
    command = ("train", "watch", "mnist", f"--namespace={training.namespace}")
    process = subprocess.Popen(
        [sys.executable, "-m", "puna_cli", *command, f"--name={cluster.state.name}"],
        env=cluster.home.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.kill()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


def cells(training: Training, *options: str) -> dict[str, str]:
    """Cells of `kubectl get tj mnist`, by heading."""
    heading, row = training.kubectl("get", "tj", "mnist", *options).splitlines()
    # Of a word that is part of another, the word alone.
    words = list(re.finditer(r"\S+", heading))
    names, starts = [word[0] for word in words], [word.start() for word in words]
    ends = [*starts[1:], None]
    return {
        name: row[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)
    }


def test_kubectl_get_shows_how_far_it_is(
    training: Training, watching: subprocess.Popen[str]
) -> None:
    def is_told() -> bool:
        assert watching.poll() is None, watching.communicate()[0]
        summary = training.status("mnist").get("summary", {})
        return summary.get("stage") == "train" and all(summary.values())

    training.until(is_told, "mnist", "all columns", seconds=LIMIT_SECONDS)
    row = cells(training)
    note(row)
    assert list(row) == COLUMNS
    assert row["EPOCH"] in {"1/3", "2/3", "3/3"}
    step, total = map(int, row["STEP"].split("/"))
    assert 0 < step < total == 2532
    assert 0 < float(row["LOSS"]) < 3
    assert row["ETA"]
    kind, accuracy = row["METRIC"].split()
    assert kind == "acc"
    assert 0.9 < float(accuracy) <= 1


@pytest.fixture(scope="module")
def complete(training: Training, watching: subprocess.Popen[str]) -> Manifest:
    """Status of the run that has ended."""
    status = training.until_ended("mnist", seconds=LIMIT_SECONDS)
    assert watching.wait(30) == 0
    return status


def test_it_tells_the_test_images_right(training: Training, complete: Manifest) -> None:
    accuracy = complete["metrics"]["test_accuracy"]
    note(f"accuracy on the test images: {accuracy}")
    assert accuracy >= LEAST_ACCURACY
    assert complete["summary"]["stage"] == "Complete"
    assert complete["summary"]["epoch"] == "3/3"
    evaluation = json.loads((training.output("mnist") / "evaluation.json").read_text())
    assert evaluation["images"] == 10_000
    assert complete["retries"] == {"counted": 0, "ignored": 0}
    (artifact,) = complete["artifacts"]
    folder, _, name = artifact["uri"].removeprefix("pvc://runs/mnist/export/").partition("/")
    assert name == "safetensors"
    assert (training.output("mnist") / "export" / folder / "card.md").is_file()


def test_the_loss_curve_is_in_the_status_and_in_the_report(
    training: Training, complete: Manifest
) -> None:
    curve = complete["progress"]["curve"]
    assert len(curve) >= 20
    steps = [point["step"] for point in curve]
    assert steps == sorted(steps)
    assert steps[-1] > 2400
    assert curve[-1]["loss"] < 0.3 < curve[0]["loss"]
    page = (training.output("mnist") / "report.html").read_text(encoding="utf-8")
    assert "<h2>Loss</h2><svg" in page.replace("\n", "")
    assert "test_accuracy" in page


def test_watch_has_shown_it_to_its_end(watching: subprocess.Popen[str], complete: Manifest) -> None:
    output = watching.communicate()[0].splitlines()
    lines = [line for line in output if line.startswith("mnist train ")]
    assert len(lines) >= 3, output
    assert all("step=" in line and "/2532" in line for line in lines[1:])
    assert any("eta=" in line for line in lines)
    assert output[-1] == "Complete", output
    assert complete["summary"]["step"] == "2532/2532"


@pytest.mark.usefixtures("complete")
def test_the_logs_are_the_trainers(training: Training) -> None:
    done = training.cluster.puna("train", "logs", "mnist", f"--namespace={training.namespace}")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines[0]["stage"] == "data"
    assert lines[-1]["done"] == ["data", "train", "evaluate", "export"]
    events = training.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
    for reason in ("TrainingStarted", "StageStarted", "TrainingCompleted"):
        assert reason in events


@pytest.mark.usefixtures("complete")
def test_what_it_has_learned_can_be_asked(training: Training, tmp_path: Path) -> None:
    pictures = (mnist() / "t10k-images-idx3-ubyte").read_bytes()[16:]
    labels = (mnist() / "t10k-labels-idx1-ubyte").read_bytes()[8:]
    files = []
    for number in range(10):
        picture = pictures[number * PICTURE_BYTES : (number + 1) * PICTURE_BYTES]
        files.append(tmp_path / f"{number}.pgm")
        files[-1].write_bytes(b"P5 28 28 255\n" + picture)
    command = (sys.executable, "-m", "puna_trainer", "predict", training.output("mnist"), *files)
    done = subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True, timeout=60
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == [str(label) for label in labels[:10]]
