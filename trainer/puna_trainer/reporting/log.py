"""Log of a run: `logs/log.jsonl`, one JSON object for each step, evaluation and epoch.

A resumed run takes away what was logged after its checkpoint, and writes it again: the file is that
of a run that was never interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from puna_trainer.files import write_text

NAME: Final = "log.jsonl"

Entry = Mapping[str, Any]
"""One line: `kind` ("step", "evaluation" or "epoch"), `step`, and what was measured."""


class Log:
    """The log in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._stream: IO[str] | None = None

    def add(self, entry: Entry) -> None:
        """Add a line; it is in the file after the next `flush`."""
        if self._stream is None:
            self._stream = self.path.open("a", encoding="utf-8")
        self._stream.write(json.dumps(entry) + "\n")

    def flush(self) -> None:
        """Write what was added."""
        if self._stream is not None:
            self._stream.flush()

    def cut_after(self, step: int) -> None:
        """Take away what was logged after a checkpoint was saved, and a line that was not finished.

        What was measured after its own step was measured after it was saved.
        """
        self.close()
        kept = [
            entry
            for entry in read_log(self.path)
            if entry["step"] < step or (entry["step"] == step and entry["kind"] == "step")
        ]
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in kept))

    def close(self) -> None:
        """Close the file; what a full volume did not take is given up."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a log; a last line that a kill cut off is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            if not line.endswith("\n"):
                return
            yield json.loads(line)
