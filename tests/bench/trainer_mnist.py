"""Real MNIST: accuracy after three epochs, and an epoch against a plain loop.

The plain loop is what one writes first: torchvision's dataset with ToTensor and Normalize, a
DataLoader without workers, AdamW; the same network, batch, images and threads. Ours does all that a
run does: log, TensorBoard, checkpoints. Both look at the validation images in the end. Where there
is a GPU it is measured there, and reported under a name of its own.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

from puna_trainer.config.run import Device
from puna_trainer.data.images import ImageData, load_images
from puna_trainer.device import choose_device
from puna_trainer.exits import Exit
from puna_trainer.files import read_json
from puna_trainer.images.models import CnnMnist
from tests.bench.report import Figure, report
from tests.trainer.digits import fitted, run_of
from tests.trainer.mnist import mnist
from tests.trainer.processes import carried_out

BATCH = 64
ROUNDS = 3
LIMIT_SECONDS = 3600
GOALS = {"cpu": 0.75, "cuda": 0.2}
"""Time of an epoch against the plain loop's: on a processor convolutions take most of both."""
MEAN, DEVIATION = 0.1307, 0.3081
"""Of the training images, as PyTorch's MNIST example has them."""
CNN: dict[str, Any] = {"model": {"name": "cnn_mnist"}, "checkpoint": {"everySteps": 200}}


def accuracy(folder: Path) -> float:
    """Share of test images that a run of three epochs tells right."""
    chosen = {"epochs": 3, "batchSize": BATCH, "precision": "auto"}
    run = run_of(folder, data=mnist(), device="auto", hyperparameters=chosen, **CNN)
    assert carried_out(run, LIMIT_SECONDS) == Exit.DONE
    measured: float = read_json(folder / "evaluation.json")["accuracy"]
    return measured


def our_epoch(folder: Path, data: ImageData, precision: str, device: torch.device) -> float:
    """Seconds of one epoch of a run."""
    chosen = {"epochs": 1, "batchSize": BATCH, "precision": precision}
    began = time.perf_counter()
    fitted(run_of(folder, hyperparameters=chosen, **CNN), data=data, device=device)
    return time.perf_counter() - began


def plain_epoch(folder: Path, train: int, device: torch.device) -> float:
    """Seconds of one epoch of the plain loop."""
    raw = folder / "MNIST" / "raw"
    if not raw.exists():
        raw.parent.mkdir(parents=True)
        raw.symlink_to(mnist(), target_is_directory=True)
    dataset = MNIST(folder, transform=Compose([ToTensor(), Normalize((MEAN,), (DEVIATION,))]))
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(mode=False)
    network = CnnMnist(1, 28, 28, 10).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.001)
    loss_of = nn.CrossEntropyLoss()
    learned = Subset(dataset, range(train))
    held_back = Subset(dataset, range(train, len(dataset)))
    began = time.perf_counter()
    network.train()
    for images, labels in DataLoader(learned, batch_size=BATCH, shuffle=True):
        optimizer.zero_grad()
        loss = loss_of(network(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
    network.eval()
    right = 0
    with torch.no_grad():
        for images, labels in DataLoader(held_back, batch_size=1000):
            told = network(images.to(device)).argmax(1)
            right += int((told == labels.to(device)).sum())
    assert right > 0.9 * len(held_back)
    return time.perf_counter() - began


def main() -> int:
    """Measure and report."""
    device = choose_device(Device.AUTO, {})
    goal = GOALS[device.type]
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = accuracy(folder / "run")
        data = load_images(folder / "run" / "data")
        seconds: dict[str, list[float]] = {"float32": [], "auto": [], "plain": []}
        for turn in range(ROUNDS):
            for precision in ("float32", "auto"):
                ours = our_epoch(folder / f"{precision}-{turn}", data, precision, device)
                seconds[precision].append(ours)
            seconds["plain"].append(plain_epoch(folder / "plain", len(data.train.labels_N), device))
    plain = median(seconds["plain"])
    return report(
        "trainer_mnist" if device.type == "cpu" else f"trainer_mnist_{device.type}",
        [
            Figure("test accuracy after 3 epochs", told, goal=0.985, at_least=True),
            Figure("epoch in float32", median(seconds["float32"]), "s", anchor=plain, goal=goal),
            Figure("epoch in auto", median(seconds["auto"]), "s", anchor=plain, goal=goal),
        ],
        {"seconds": seconds, "threads": torch.get_num_threads()},
        accelerator=accelerator,
    )


if __name__ == "__main__":
    sys.exit(main())
