"""Runs in processes of their own, which can be killed at a step, forked from one that has torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from puna_trainer.config.run import Run, read_run
from puna_trainer.execute import execute
from puna_trainer.progress import Progress
from puna_trainer.stop import StopSignal

LIMIT_SECONDS = 120
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


class SignalAfter:
    """Sends this process a signal after some steps of its optimizer, before anything is saved."""

    def __init__(self, number: int, steps: int) -> None:
        self._number = number
        self._left = steps

    def __call__(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._number)


@dataclass
class Running:
    """A process that was started."""

    process: BaseProcess
    output: Path

    def end(self, limit_seconds: float = LIMIT_SECONDS) -> int:
        """Wait for its end; the exit code."""
        self.process.join(limit_seconds)
        assert self.process.exitcode is not None, "it hangs"
        return self.process.exitcode

    @property
    def progress(self) -> list[Progress]:
        return [
            Progress.model_validate_json(line)
            for line in self.output.read_text().splitlines()
            if line.startswith("{")
        ]


def start(
    run: Run,
    *,
    signal_after: tuple[int, int] | None = None,
    environment: Mapping[str, str] | None = None,
    limit_bytes: int | None = None,
) -> Running:
    """Start a process that carries a run out.

    Args:
        run: What it does.
        signal_after: A signal, and the steps of this process after which it gets it.
        environment: Variables of its own.
        limit_bytes: Longest file that it may write.
    """
    folder = Path(run.output_directory)
    folder.mkdir(parents=True, exist_ok=True)
    rank = (environment or {}).get("RANK", "0")
    output = folder / f"output-{rank}.txt"
    process = FORKS.Process(
        target=_carry_out,
        args=(
            run.model_dump_json(by_alias=True, exclude_defaults=True),
            str(output),
            signal_after,
            dict(environment or {}),
            limit_bytes,
        ),
    )
    process.start()
    return Running(process, output)


def carried_out(run: Run, limit_seconds: float = LIMIT_SECONDS) -> int:
    """Carry a run out; the exit code."""
    return start(run).end(limit_seconds)


def _carry_out(
    document: str,
    output: str,
    signal_after: tuple[int, int] | None,
    environment: dict[str, str],
    limit_bytes: int | None,
) -> None:
    torch.set_num_threads(1)
    os.environ |= environment
    with Path(output).open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    if limit_bytes is not None:
        import resource  # noqa: PLC0415 - of this process alone

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    if signal_after:
        register_optimizer_step_post_hook(SignalAfter(*signal_after))
    stop = StopSignal()
    stop.listen()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    result = execute(read_run(document), os.environ, stop)
    sys.stdout.flush()
    os._exit(result.exit_code)
