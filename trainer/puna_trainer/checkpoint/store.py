"""Store of a run's checkpoints: `step_<N>` and `epoch_<N>`, with pointers to the newest and best.

A checkpoint is written beside the others under a hidden name, and gets its own in one step. What is
no longer kept is removed after that. Resuming takes the newest one that verifies, not the newest
name. What is measured of a checkpoint is measured after it was saved: an evaluation that fails
loses nothing.
"""

from __future__ import annotations

import shutil
import time
from itertools import chain, count
from pathlib import Path
from typing import Final

from puna_trainer.checkpoint.folder import MANIFEST, read_folder, read_note, write_folder
from puna_trainer.checkpoint.state import TrainingState
from puna_trainer.config.output import Checkpoints
from puna_trainer.errors import output_failure
from puna_trainer.files import read_json, synchronize, write_json
from puna_trainer.progress import CheckpointNote

NAME: Final = "checkpoints"
LATEST: Final = "latest.json"
BEST: Final = "best.json"
FEWEST: Final = 2
"""Checkpoints that are kept until one of them is the best."""
UNFINISHED: Final = ".unfinished-"
"""Beginning of the names that checkpoints are written under."""


class Store:
    """The checkpoints of one run. Only its first process writes."""

    def __init__(self, folder: Path, chosen: Checkpoints, inputs: str | None) -> None:
        """Open the folder.

        Args:
            folder: Where the checkpoints lie.
            chosen: How many are kept.
            inputs: Digest of what the run depends on; others' checkpoints are not looked at. None
                looks at all.
        """
        self.folder = folder
        self._keep = 1 if chosen.save_best_only else chosen.keep
        self._inputs = inputs
        self.longest_save = 0.0
        """Seconds that the slowest save took."""

    def set_aside_others(self) -> Path | None:
        """Move checkpoints that were made from other inputs out of the way; where to, if any."""
        others = [path for path in self._by_age() if read_note(path)]
        if not others or self.newest_note():
            return None
        inputs = read_json(others[0] / MANIFEST)["inputs"]
        place = self._free_place(f"{self.folder.name}-{inputs[:8]}")
        self.folder.replace(place)
        return place

    def save(self, state: TrainingState, name: str) -> CheckpointNote:
        """Write a checkpoint, and remove those that are no longer kept.

        Raises:
            TrainingError: DiskFull or OutputUnusable; all older checkpoints are still there.
        """
        began = time.monotonic()
        temporary = self.folder / f"{UNFINISHED}{name}"
        try:
            for left in self.folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left)
            temporary.mkdir(parents=True)
            note = write_folder(temporary, state).model_copy(update={"name": name})
            self._publish(temporary, note)
            self._prune(state.step)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise output_failure(error, self.folder / name) from error
        self.longest_save = max(self.longest_save, time.monotonic() - began)
        return note

    def mark_best(self, note: CheckpointNote, metric: float) -> CheckpointNote:
        """Keep the newest checkpoint as the best one.

        Raises:
            TrainingError: DiskFull or OutputUnusable; the best is the one before.
        """
        best = note.model_copy(update={"metric": metric})
        try:
            write_json(self.folder / BEST, best.model_dump(mode="json", by_alias=True))
            self._prune(note.step)
        except OSError as error:
            raise output_failure(error, self.folder / BEST) from error
        return best

    def withdraw(self, note: CheckpointNote) -> CheckpointNote | None:
        """Remove the newest checkpoint, which nobody should go on from; return the one before.

        Raises:
            TrainingError: OutputUnusable.
        """
        try:
            shutil.rmtree(self.folder / note.name)
            before = self.newest_note()
            if before is None:
                (self.folder / LATEST).unlink(missing_ok=True)
            else:
                write_json(self.folder / LATEST, before.model_dump(mode="json", by_alias=True))
        except OSError as error:
            raise output_failure(error, self.folder / note.name) from error
        return before

    def read(self, note: CheckpointNote) -> TrainingState:
        """Return the state of a checkpoint that verifies."""
        return read_folder(self.folder / note.name)

    def newest(self) -> TrainingState | None:
        """Return the state of the newest checkpoint that verifies, if there is one."""
        note = self.newest_note()
        return self.read(note) if note else None

    def best(self) -> TrainingState | None:
        """Return the state of the best checkpoint, if there is one."""
        note = self.best_note()
        return self.read(note) if note else None

    def newest_note(self) -> CheckpointNote | None:
        """Return the note of the newest checkpoint that verifies, if there is one."""
        for folder in self._by_age():
            if note := read_note(folder, self._inputs):
                return note
        return None

    def best_note(self) -> CheckpointNote | None:
        """Return the note of the best checkpoint; the newest where no best one verifies."""
        marked = read_json(self.folder / BEST)
        if marked is not None:
            best = CheckpointNote.model_validate(marked)
            found = read_note(self.folder / best.name, self._inputs)
            if found is not None and found.sha256 == best.sha256:
                return best
        return self.newest_note()

    def count(self) -> int:
        """Return how many checkpoints are kept."""
        return len(self._steps())

    def _free_place(self, name: str) -> Path:
        """Return a place beside the folder; others of the same inputs may lie there already."""
        numbered = (f"{name}-{number}" for number in count(2))
        places = (self.folder.with_name(each) for each in chain((name,), numbered))
        return next(place for place in places if not place.exists())

    def _publish(self, temporary: Path, note: CheckpointNote) -> None:
        synchronize(temporary)
        place = self.folder / note.name
        if place.exists():
            # Resuming took an older one, hence this one does not verify.
            shutil.rmtree(place)
        temporary.replace(place)
        synchronize(self.folder)
        write_json(self.folder / LATEST, note.model_dump(mode="json", by_alias=True))

    def _prune(self, step: int) -> None:
        """Remove what is not kept, and what claims a later step: resuming did not take it."""
        best = read_json(self.folder / BEST)
        steps = self._steps()
        later = [path for path in steps if steps[path] > step]
        kept = [path for path in self._by_age() if path not in later]
        # Without a best one, the newest may be taken back or damaged, and nothing would be left.
        keep = self._keep if best else max(self._keep, FEWEST)
        for path in later + [path for path in kept[keep:] if not _is(path, best)]:
            shutil.rmtree(path)

    def _by_age(self) -> list[Path]:
        """Return the folders that have a manifest, newest first; they may not verify."""
        steps = self._steps()
        return sorted(steps, key=lambda path: steps[path], reverse=True)

    def _steps(self) -> dict[Path, int]:
        if not self.folder.is_dir():
            return {}
        return {
            path: manifest["step"]
            for path in self.folder.iterdir()
            if not path.name.startswith(".") and (manifest := read_json(path / MANIFEST))
        }


def _is(path: Path, best: dict[str, str] | None) -> bool:
    return best is not None and path.name == best["name"]
