"""Reporter: to whom a run tells what it does.

    reporter.begin(StageName.PRETRAIN, done)        # a line at once
    reporter.tell(epoch=2, total_steps=2532)        # from the next line on
    reporter.steps([entry, entry], examples=128)    # the log, TensorBoard, the curve, the speed
    reporter.evaluation(entry)

Lines of progress go out once a second at most. Only the first process of a run has a reporter that
writes; those of the others are silent, so that no stage has to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from puna_trainer.config.output import StageName
from puna_trainer.config.run import Run, Task
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.progress import Artifact, CheckpointNote, Hashes, Progress, Result
from puna_trainer.reporting.board import Board
from puna_trainer.reporting.curve import Curve
from puna_trainer.reporting.log import Entry, Log, read_log
from puna_trainer.reporting.speed import Sample, Speed

INTERVAL_SECONDS: Final = 1.0
MOST_METRICS: Final = 16
FIELDS: Final = {
    "step": "step",
    "epoch": "epoch",
    "valLoss": "val_loss",
    "valAccuracy": "val_accuracy",
    "perplexity": "perplexity",
}
"""Members of an entry of the log, and the fields of `Progress` that they are."""


class Reporter:
    """Progress of one run."""

    def __init__(
        self,
        run: Run,
        folder: Path | None,
        *,
        write: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """Make the reporter of a process.

        Args:
            run: What was asked for.
            folder: Folder for the logs; None keeps none.
            write: Takes one line of progress.
            clock: Seconds, from any time on.
        """
        self._write = write
        self._clock = clock
        self._speed_field = (
            "tokens_per_second" if run.task is Task.LANGUAGE_MODEL else "images_per_second"
        )
        self._log = Log(folder) if folder else None
        self._board = Board(folder / "tensorboard") if folder else None
        self._fields: dict[str, Any] = {}
        self._stage: StageName | None = None
        self._done: tuple[StageName, ...] = ()
        self._curve = Curve()
        self._speed = Speed()
        self._examples = 0
        self._losses: list[float] = []
        self._epoch_losses: dict[int, tuple[float, int]] = {}
        self._written_at = float("-inf")
        self.hashes: Hashes | None = None
        """What the result depends on, as far as it is known."""
        self.metrics: dict[str, float] = {}
        """What the evaluation measured; goes into the result."""
        self.artifacts: tuple[Artifact, ...] = ()
        """Files that passed their proofs; go into the result."""

    @property
    def keeps_logs(self) -> bool:
        """Whether this is the reporter of a run's first process."""
        return self._log is not None

    def before(self, stage: StageName, text: str) -> None:
        """Say what takes time before the first stage begins."""
        self._stage = stage
        self.message(text)

    def begin(self, stage: StageName, done: tuple[StageName, ...]) -> None:
        """Say at once which stage begins."""
        self._stage, self._done = stage, done
        for field in ("message", "eta_seconds", self._speed_field):
            self._fields.pop(field, None)
        self._speed = Speed()
        self.write_line()

    def finish(self, done: tuple[StageName, ...]) -> None:
        """Say at once that the stage is done."""
        self._done = done
        self._fields.pop("message", None)
        self.write_line()

    def message(self, text: str) -> None:
        """Say what takes time, if it is not steps."""
        self.tell(message=text)

    def tell(self, **fields: Any) -> None:
        """Set fields of `Progress`; they go out with the next line."""
        self._fields |= fields
        if self._clock() - self._written_at >= INTERVAL_SECONDS:
            self.write_line()

    def resume(self, step: int) -> None:
        """Go on from a step: what was logged after it is taken away."""
        if self._log:
            self._log.cut_after(step)
        self.replay()
        if self._board:
            self._board.cut_after(step)
        if step:
            self._fields["resumed_from"] = step

    def replay(self) -> None:
        """Take the curve, and the newest step and evaluation, from what was logged."""
        if self._log is None:
            return
        for entry in read_log(self._log.path):
            self._take(entry)
            told = {FIELDS[member]: entry[member] for member in FIELDS if member in entry}
            self._fields |= told if "valLoss" in entry else {"loss": entry["loss"], **told}

    def steps(self, entries: Sequence[Entry], examples: int) -> None:
        """Log the steps since the last call, and tell of the newest.

        Args:
            entries: One for each step, in order: `step`, `epoch`, `loss` and whatever else.
            examples: Images or tokens that they took in, over all processes.
        """
        if not entries:
            return
        for entry in entries:
            self._add({"kind": "step", **entry})
        # Before a checkpoint of these steps can be there: a run that is resumed there misses none.
        self.flush()
        newest = entries[-1]
        if self._board:
            self._board.add({**newest, "loss": _mean(entries, "loss")})
        self._examples += examples
        self._losses += [entry["loss"] for entry in entries]
        self._speed.add(Sample(self._clock(), newest["step"], self._examples))
        total = self._fields.get("total_steps")
        self._fields.pop("message", None)  # what took time was before these steps
        self.tell(
            epoch=newest["epoch"],
            step=newest["step"],
            loss=sum(self._losses) / len(self._losses),
            eta_seconds=self._speed.eta_seconds(total) if total else None,
            **{self._speed_field: self._speed.examples_per_second()},
        )

    def evaluation(self, entry: Entry, *, ends_epoch: bool = False) -> None:
        """Log a look at the validation data: `valLoss`, and `valAccuracy` or `perplexity`.

        At the end of an epoch the mean of its losses is logged as well.
        """
        if ends_epoch:
            total, count = self._epoch_losses.get(entry["epoch"], (0.0, 0))
            mean = {"loss": total / count} if count else {}
            self._add({"kind": "epoch", **entry, **mean})
        else:
            self._add({"kind": "evaluation", **entry})
        if self._board:
            self._board.add(entry)
        self._fields.pop("message", None)  # what took time was this look
        self.tell(
            val_loss=entry["valLoss"],
            val_accuracy=entry.get("valAccuracy"),
            perplexity=entry.get("perplexity"),
        )

    def checkpoints(
        self,
        latest: CheckpointNote | None,
        best: CheckpointNote | None,
        *,
        kept: int,
        save_seconds: float | None,
    ) -> None:
        """Tell which checkpoints there are."""
        self.tell(latest=latest, best=best, checkpoints=kept, save_seconds=save_seconds)

    def flush(self) -> None:
        """Write what was logged."""
        if self._log:
            self._log.flush()

    def write_line(self) -> None:
        """Write a line of progress now."""
        if self._stage is None:
            return
        self._written_at = self._clock()
        self._losses = []
        self.flush()
        progress = Progress(
            stage=self._stage,
            done=self._done,
            hashes=self.hashes,
            curve=self._curve.points(),
            updated_at=datetime.now(UTC),
            **self._fields,
        )
        self._write(progress.model_dump_json(by_alias=True, exclude_none=True))

    def result(self, code: Exit, reason: FailureReason | None = None, message: str = "") -> Result:
        """Return how the run ended."""
        return Result(
            exit_code=code,
            reason=reason,
            message=message,
            stage=self._stage,
            done=self._done,
            step=self._fields.get("step"),
            checkpoint=self._fields.get("latest"),
            metrics=dict(list(self.metrics.items())[:MOST_METRICS]),
            hashes=self.hashes,
            artifacts=self.artifacts,
        )

    def close(self) -> None:
        """Write everything, and close the files.

        Raises:
            OSError: the volume does not take the last of it; the files are closed all the same.
        """
        try:
            if self._log:
                self._log.close()
        finally:
            if self._board:
                self._board.close()

    def _add(self, entry: Entry) -> None:
        self._take(entry)
        if self._log:
            self._log.add(entry)

    def _take(self, entry: Entry) -> None:
        if entry["kind"] == "step":
            self._curve.add(entry["step"], entry["loss"])
            total, count = self._epoch_losses.get(entry["epoch"], (0.0, 0))
            self._epoch_losses = {entry["epoch"]: (total + entry["loss"], count + 1)}
        elif "valLoss" in entry:
            self._curve.add_validation(entry["valLoss"])


def _mean(entries: Sequence[Mapping[str, Any]], member: str) -> float:
    return float(sum(entry[member] for entry in entries) / len(entries))
