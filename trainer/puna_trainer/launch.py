"""Launch of the processes of a run on one machine: `python -m puna_trainer.launch run.json`.

torchrun starts them, as its own variables (PET_*) say; it ends with 1 whatever they ended with.
This program ends as the run did: each process leaves its last word in a folder, and the word that
tells the cause becomes that of all.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from pydantic import ValidationError

from puna_trainer.errors import Interrupted, TrainingError
from puna_trainer.exits import EXIT_OF, Exit, FailureReason
from puna_trainer.progress import Result
from puna_trainer.reporting.termination import WORDS_VARIABLE, write_termination
from puna_trainer.stop import StopSignal

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

SUFFERED: Final = frozenset({FailureReason.RANK_LOST, FailureReason.RANK_MISSING})
"""Ends whose cause is another process's."""
LOG: Final = logging.getLogger("puna_trainer")
PROGRAM: Final = ("--signals-to-handle=SIGHUP,SIGQUIT", "-m", "puna_trainer")
"""SIGTERM is heard here alone: of torchrun's own handler a second one would end the waiting."""
PATIENCE_VARIABLE: Final = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
"""Seconds that processes have after SIGTERM; torchrun reads it too."""
USUAL_PATIENCE: Final = 30
"""Seconds that torchrun leaves where nothing is said, and always after one process failed."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    code: int
    word: Result | None = None
    """What it said; None: it was ended before it could."""

    def weight(self, *, asked: bool) -> int:
        """Return how little this end tells of the cause; after a signal all ends are its."""
        if self.code == Exit.DONE:
            return 3
        if self.code == Exit.INTERRUPTED:
            return 1 if asked else 2
        if self.word is not None and self.word.reason in SUFFERED:
            return 2 if asked else 1
        return 0


def main() -> NoReturn:
    """Run the program."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="puna-trainer: %(levelname)s: %(message)s"
    )
    stop = StopSignal()
    stop.listen()
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="puna-words-") as folder:
        end = launch(sys.argv[1:], Path(folder), stop)
    if end.word is not None:
        try:
            write_termination(end.word, environment)
        except OSError as error:
            LOG.warning(f"the termination log cannot be written: {error}")
    sys.exit(end.code)


def launch(arguments: Sequence[str], folder: Path, stop: StopSignal) -> Ended:
    """Start the processes and wait for their end.

    Args:
        arguments: Of each process.
        folder: Where they leave their last words.
        stop: Whether they are to save and end.
    """
    # Take seconds, hence after the signal is listened to.
    from torch.distributed import DistError  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.elastic.rendezvous import RendezvousError  # noqa: PLC0415
    from torch.distributed.run import parse_args, run  # noqa: PLC0415

    from puna_trainer.distributed import meeting_of_launchers, missing  # noqa: PLC0415

    asked = parse_args([*PROGRAM, *arguments])
    os.environ[WORDS_VARIABLE] = str(folder)
    failures: dict[int, ProcessFailure] = {}
    try:
        with ExitStack() as opened:
            opened.enter_context(stop.at_once())
            nodes = int(asked.nnodes) if asked.nnodes.isdecimal() else 1  # by itself it is 1:1
            if nodes > 1:
                there = (asked.master_addr, asked.master_port)
                opened.enter_context(meeting_of_launchers(*there, asked.node_rank, nodes))
            run(asked)
    except Interrupted:
        LOG.info("asked to end; all processes have ended")
    except ChildFailedError as error:
        failures = error.failures
    except (DistError, RendezvousError, TrainingError) as error:
        failure = error if isinstance(error, TrainingError) else missing(error)
        LOG.error(failure.message)  # noqa: TRY400 - the sentence says it all
        code = EXIT_OF[failure.reason]
        word = Result(exit_code=code, reason=failure.reason, message=failure.message)
        return Ended(code, word)
    words = _words(folder)
    if stop.requested_at is None:
        found = {end.local_rank: (end.exitcode, end.timestamp) for end in failures.values()}
        return telling(words, silent_ends(found, words), asked=False)
    # torchrun does not tell how they ended; without a word the first one was killed, or had not
    # begun to listen.
    spent = time.monotonic() - stop.requested_at
    killed = spent >= int(os.environ.get(PATIENCE_VARIABLE, USUAL_PATIENCE))
    silent = Ended(_exit_code(-signal.SIGKILL) if killed else Exit.INTERRUPTED)
    return telling(words, () if 0 in words else (silent,), asked=True)


def silent_ends(
    failures: Mapping[int, tuple[int, int]], words: Mapping[int, Result]
) -> tuple[Ended, ...]:
    """Return the ends of processes that left no word, without those that torchrun ended itself.

    Args:
        failures: Exit code and second of its end, by process.
        words: Last words, by process.
    """
    first = min((at for _, at in failures.values()), default=0)
    return tuple(
        Ended(_exit_code(code))
        for rank, (code, at) in failures.items()
        if rank not in words
        and code != -signal.SIGTERM
        and (code != -signal.SIGKILL or at - first < USUAL_PATIENCE - 1)
    )


def telling(words: Mapping[int, Result], silent: Sequence[Ended], *, asked: bool) -> Ended:
    """Return the end that tells the cause; the others are what was suffered from it.

    Args:
        words: Last words, by process; the first one knows the progress of all.
        silent: Ends of processes that left none.
        asked: Whether the run was asked to end.
    """
    ends = [Ended(word.exit_code, word) for _, word in sorted(words.items())]
    cause = min((*ends, *silent), key=lambda end: end.weight(asked=asked), default=Ended(Exit.DONE))
    if cause.word is None or 0 not in words:
        return cause
    said = {name: getattr(cause.word, name) for name in ("exit_code", "reason", "message")}
    return Ended(cause.code, words[0].model_copy(update=said))


def _words(folder: Path) -> dict[int, Result]:
    found = {}
    for path in folder.iterdir():
        try:
            found[int(path.stem)] = Result.model_validate_json(path.read_bytes())
        except ValidationError:
            LOG.warning(f"process {path.stem} was ended within its last word")
    return found


def _exit_code(code: int) -> int:
    """Return the exit code of a process as a shell tells it: 128 + the signal."""
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
