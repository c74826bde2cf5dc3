"""`puna-fetch` as Kubernetes runs it: its streams, its exit code, its termination log."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from puna_fetch.config import Failure, FetchReason, FetchRequest, FetchStage, Progress

LOOPBACK = "127.0.0.0/8"
LIMIT_SECONDS = 60
STUBBORN = ("--connect-timeout=600", "--stall-timeout=600", "--retry-seconds=3600")
"""So a run that did wait or try again would last for longer than LIMIT_SECONDS."""


@dataclass(frozen=True)
class Outcome:
    """What a run left behind. Reading it checks it against the contract."""

    code: int
    output: str
    log: str
    termination: str
    seconds: float

    @property
    def progress(self) -> list[Progress]:
        return [Progress.model_validate_json(line) for line in self.output.splitlines()]

    @property
    def stages(self) -> set[FetchStage]:
        return {line.stage for line in self.progress}

    @property
    def failure(self) -> Failure:
        assert self.code == 1, self.log
        assert self.log.splitlines()[-1] == self.termination
        return Failure.model_validate_json(self.termination)

    @property
    def reason(self) -> FetchReason:
        return self.failure.reason


@dataclass
class Running:
    """A process that was started."""

    process: subprocess.Popen[str]
    termination_log: Path
    started: float

    def kill(self) -> None:
        self.process.kill()
        self.finish()

    def finish(self) -> Outcome:
        output, log = self.process.communicate(timeout=LIMIT_SECONDS)
        written = self.termination_log
        return Outcome(
            self.process.returncode,
            output,
            log,
            written.read_text() if written.exists() else "",
            time.monotonic() - self.started,
        )


@dataclass(frozen=True)
class Program:
    """One fetch of one model into one cache, which a test may run as often as it likes."""

    folder: Path
    sha256: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def destination(self) -> Path:
        return self.folder / "models" / "team" / self.sha256 / "model.gguf"

    @property
    def partial(self) -> Path:
        return self.destination.with_name(f"model.gguf.{self.sha256[:12]}.part")

    @property
    def is_in_place(self) -> bool:
        """Whether the right file is there; a wrong one fails the test."""
        if not self.destination.exists():
            return False
        assert hashlib.sha256(self.destination.read_bytes()).hexdigest() == self.sha256
        return True

    def start(
        self,
        uri: str,
        *flags: str,
        networks: tuple[str, ...] = (LOOPBACK,),
        credentials: Path | None = None,
        ca_file: Path | None = None,
        max_bytes: int | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> Running:
        request = FetchRequest(
            uri=uri,
            sha256=self.sha256,
            destination=str(self.destination),
            allowed_networks=networks,
            credentials_directory=str(credentials) if credentials else None,
            ca_file=str(ca_file) if ca_file else None,
            max_bytes=max_bytes,
        )
        return start_program([*request.to_args(), *flags], self.folder, self.environment, wrapper)

    def run(
        self,
        uri: str,
        *flags: str,
        networks: tuple[str, ...] = (LOOPBACK,),
        credentials: Path | None = None,
        ca_file: Path | None = None,
        max_bytes: int | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> Outcome:
        return self.start(
            uri,
            *flags,
            networks=networks,
            credentials=credentials,
            ca_file=ca_file,
            max_bytes=max_bytes,
            wrapper=wrapper,
        ).finish()


def start_program(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str] | None = None,
    wrapper: tuple[str, ...] = (),
) -> Running:
    folder.mkdir(parents=True, exist_ok=True)
    termination_log = folder / f"termination-{time.monotonic_ns()}.log"
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-m", "puna_fetch", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **(environment or {}),
            "PUNA_TERMINATION_LOG": str(termination_log),
        },
    )
    return Running(process, termination_log, time.monotonic())


def run_program(arguments: list[str], folder: Path) -> Outcome:
    return start_program(arguments, folder).finish()
