"""Lock of an output folder: one run at a time, on the node or on a shared volume.

The kernel drops the lock of a process that dies. The file says who holds it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from puna_trainer.errors import TrainingError, output_failure
from puna_trainer.exits import FailureReason

NAME: Final = "lock"
PATIENCE_SECONDS: Final = 10.0
"""How long a process of an attempt before may take to die."""
POLL_SECONDS: Final = 0.2


def attempt_of(environment: Mapping[str, str]) -> str:
    """Return who this process is: the attempt that whoever started it names, or host and number."""
    return environment.get("PUNA_ATTEMPT") or f"{socket.gethostname()}/{os.getpid()}"


@contextmanager
def hold(folder: Path, attempt: str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock of an output folder.

    Raises:
        TrainingError: OutputUnusable, another run holds it or the folder cannot be written.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise output_failure(error, path) from error
    try:
        _acquire(descriptor, path, patience)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"attempt": attempt}).encode() + b"\n", 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip()
                raise TrainingError(
                    FailureReason.OUTPUT_UNUSABLE,
                    f"{path}: another run holds this output folder ({holder}); "
                    "wait for it, end it, or choose another outputDirectory",
                ) from None
            time.sleep(POLL_SECONDS)
        except OSError as error:
            raise output_failure(error, path) from error
        else:
            return
