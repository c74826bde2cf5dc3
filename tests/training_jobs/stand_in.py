"""A stand-in for the trainer that keeps its contract: `python stand_in.py run.json`.

It reads the run, goes on from the checkpoint in the output folder, prints progress, leaves its last
word, and ends as the file `orders.json` in the output folder says: a list with one order for each
attempt, `{"exit": 75, "reason": "DataUnavailable", "at": 5}` to end at a step, `{"kill": true}` for
SIGKILL, `{"wait": true}` to take no further step until it is told to end. Without an order it goes
through all stages, but waits in each as long as there is a file `hold-<stage>`: at its half where
it has steps, else at its beginning. A step takes a twentieth of a second.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.config.run import Run, read_run
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.progress import (
    Artifact,
    CheckpointNote,
    CurvePoint,
    Hashes,
    Parity,
    Progress,
    Result,
)

STEP_SECONDS = 0.05
STAGES = (StageName.DATA, StageName.TOKENIZER, StageName.EVALUATE, StageName.EXPORT)


class Trainer:
    """One attempt."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.folder = Path(run.output_directory)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.steps = run.hyperparameters.max_steps or 20
        self.state: dict[str, Any] = {"step": 0, "done": [], "attempts": []}
        self.stopped = False
        signal.signal(signal.SIGTERM, self._stop)
        if self._file.exists():
            self.state = json.loads(self._file.read_text())
        self.resumed = self.state["step"]
        self.state["attempts"].append({"from": self.resumed})
        self.save()
        orders = self.folder / "orders.json"
        number = len(self.state["attempts"]) - 1
        told = json.loads(orders.read_text()) if orders.exists() else []
        self.order: dict[str, Any] = told[number] if number < len(told) else {}

    @property
    def _file(self) -> Path:
        return self.folder / "state.json"

    def save(self) -> None:
        """Keep the state; of several processes the first alone does."""
        if os.environ.get("JOB_COMPLETION_INDEX", "0") != "0":
            return
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps(self.state))
        temporary.replace(self._file)

    def work(self) -> Exit:
        """Go through what is left."""
        for stage in self.run.stage_names():
            if stage in self.state["done"]:
                continue
            self.tell(stage)
            if stage in STAGES:
                self.hold(stage)
                time.sleep(STEP_SECONDS * self.run.checkpoint.every_steps)
            else:
                while self.state["step"] < self.steps:
                    code = self.step(stage)
                    if code is not None:
                        return code
            self.state["done"].append(stage)
            self.save()
            self.tell(stage)
        return self.end(Exit.DONE)

    def step(self, stage: StageName) -> Exit | None:
        """Take one step; what the attempt ends with, if it ends here."""
        time.sleep(STEP_SECONDS)
        self.state["step"] += 1
        self.save()
        self.tell(stage)
        if self.state["step"] == self.steps // 2:
            self.hold(stage)
        while self.order.get("wait") and self.state["step"] >= self.order["at"]:
            if self.stopped:
                break
            time.sleep(STEP_SECONDS)
        if self.stopped:
            return self.end(Exit.INTERRUPTED, stage=stage)
        if self.state["step"] < self.order.get("at", 10**9):
            return None
        if self.order.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        reason = self.order.get("reason")
        return self.end(
            Exit(self.order["exit"]),
            stage=stage,
            reason=FailureReason(reason) if reason else None,
            message="as it was ordered",
        )

    def hold(self, stage: StageName) -> None:
        """Wait as long as somebody holds a stage."""
        while (self.folder / f"hold-{stage}").exists() and not self.stopped:
            time.sleep(STEP_SECONDS)

    def tell(self, stage: StageName) -> None:
        """Print progress."""
        step = self.state["step"]
        progress = Progress(
            stage=stage,
            done=tuple(self.state["done"]),
            epoch=1,
            total_epochs=1,
            step=step,
            total_steps=self.steps,
            loss=2.5 / (1 + step),
            eta_seconds=round((self.steps - step) * STEP_SECONDS),
            updated_at=datetime.now(UTC),
            resumed_from=self.resumed,
            latest=self.note() if step else None,
            checkpoints=1 if step else 0,
            save_seconds=0.01,
            hashes=self.hashes(),
            curve=(CurvePoint(step=step, loss=2.5 / (1 + step)),),
        )
        print(progress.model_dump_json(by_alias=True, exclude_none=True), flush=True)
        print("a line that is no progress", file=sys.stderr, flush=True)

    def note(self) -> CheckpointNote:
        """The newest checkpoint."""
        step = self.state["step"]
        digest = sha256(str(step).encode()).hexdigest()
        return CheckpointNote(name=f"step_{step}", step=step, sha256=digest)

    def hashes(self) -> Hashes:
        """What the result depends on."""
        digest = sha256(self.run.name.encode()).hexdigest()
        data = sha256(self.run.dataset.uri.encode()).hexdigest()
        return Hashes(config=digest, code=digest, data=data)

    def end(self, code: Exit, **members: Any) -> Exit:
        """Leave the last word."""
        result = Result(
            exit_code=code,
            step=self.state["step"],
            done=tuple(self.state["done"]),
            checkpoint=self.note() if self.state["step"] else None,
            hashes=self.hashes(),
            metrics=self.metrics() if code is Exit.DONE else {},
            artifacts=self.artifacts() if code is Exit.DONE else (),
            **members,
        )
        text = result.model_dump_json(by_alias=True, exclude_none=True)
        Path(os.environ["PUNA_TERMINATION_LOG"]).write_text(text)
        return code

    def metrics(self) -> dict[str, float]:
        """What `metrics.json` in the output folder says was measured."""
        told = self.folder / "metrics.json"
        measured: dict[str, float] = {"test_accuracy": 0.9912}
        return json.loads(told.read_text()) if told.exists() else measured

    def artifacts(self) -> tuple[Artifact, ...]:
        """Files that stand for exported ones."""
        found = []
        for kind in self.run.export.types:
            path = f"export/{self.run.name}-{kind}.gguf"
            file = self.folder / path
            file.parent.mkdir(exist_ok=True)
            source = self.folder / "model.gguf"
            content = source.read_bytes() if source.exists() else kind.encode()
            file.write_bytes(content)
            proof = Parity(ids_equal=True, nmse=1e-8, positions=256)
            found.append(
                Artifact(
                    name=kind,
                    path=path,
                    type=kind,
                    sha256=sha256(content).hexdigest(),
                    size_bytes=len(content),
                    parity=None if kind is ArtifactType.SAFETENSORS else proof,
                )
            )
        return tuple(found)

    def _stop(self, *_: object) -> None:
        self.stopped = True


if __name__ == "__main__":
    sys.exit(Trainer(read_run(Path(sys.argv[1]).read_bytes())).work())
