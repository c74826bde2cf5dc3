"""A run on real MNIST that is killed twenty times, at random steps and at random moments."""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from puna_trainer.checkpoint.folder import read_weights
from puna_trainer.exits import Exit
from puna_trainer.reporting.log import read_log
from tests.bench.report import Figure, report
from tests.trainer.digits import run_of
from tests.trainer.mnist import mnist
from tests.trainer.processes import carried_out, start

KILLS = 20
STEPS = 400
LIMIT_SECONDS = 600
MOST_STEPS = 30
"""Steps of one process before it is killed; a checkpoint is written every ten."""
MOST_SECONDS = 0.2
"""Time of one process from its first step on before it is killed."""
CHANGED: dict[str, Any] = {
    "model": {"name": "cnn_mnist"},
    "hyperparameters": {"maxSteps": STEPS, "batchSize": 64, "augmentation": "shift"},
    "checkpoint": {"everySteps": 10},
}


def log(folder: Path) -> list[dict[str, Any]]:
    """What a run logged, evaluations among it."""
    return list(read_log(folder / "logs" / "log.jsonl"))


def killed(folder: Path, chance: random.Random) -> bool:
    """Let a process work for a while, and kill it; whether it was still there."""
    run = run_of(folder, data=mnist(), **CHANGED)
    if chance.random() < 0.5:
        steps = chance.randint(1, MOST_STEPS)
        return start(run, signal_after=(signal.SIGKILL, steps)).end() == -signal.SIGKILL
    written = folder / "logs" / "log.jsonl"
    before = written.stat().st_size if written.exists() else 0
    running = start(run)
    while running.process.is_alive() and not (written.exists() and written.stat().st_size > before):
        time.sleep(0.01)
    time.sleep(chance.uniform(0, MOST_SECONDS))
    running.process.kill()
    return running.end() == -signal.SIGKILL


def main() -> int:
    """Measure and report."""
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        whole, disturbed = Path(name, "whole"), Path(name, "disturbed")
        assert carried_out(run_of(whole, data=mnist(), **CHANGED), LIMIT_SECONDS) == Exit.DONE
        kills = 0
        while kills < KILLS and killed(disturbed, chance):
            kills += 1
        run = run_of(disturbed, data=mnist(), **CHANGED)
        assert carried_out(run, LIMIT_SECONDS) == Exit.DONE
        pairs = zip(log(whole), log(disturbed), strict=True)
        entries = sum(expected != found for expected, found in pairs)
        expected, found = (
            read_weights(folder / "checkpoints" / f"step_{STEPS}") for folder in (whole, disturbed)
        )
        weights = sum(not torch.equal(expected[name], found[name]) for name in expected)
    return report(
        "trainer_resume",
        [
            Figure("kills", kills, goal=KILLS, at_least=True),
            Figure("losses that differ from the undisturbed run's", entries, goal=0),
            Figure("tensors that differ from the undisturbed run's", weights, goal=0),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
