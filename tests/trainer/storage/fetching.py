"""A fetch as a test wants it, in this process or in one that is killed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.storage.fetch import fetch
from puna_trainer.storage.retry import Limits

QUICK = Limits(connect=5, stall=1, first_wait=0.01, longest_wait=0.05, attempts=4)
PATIENT = replace(QUICK, stall=60)
"""While a test holds a connection."""
ROOT = Path(__file__).parents[3]


@dataclass
class Fetcher:
    """One destination, and what was reported on the way there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    limits: Limits = QUICK
    reports: list[str] = field(default_factory=list)

    @property
    def destination(self) -> Path:
        return self.folder / "source"

    @property
    def stored(self) -> int:
        """Bytes of partial files."""
        parts = self.folder / "source.partial" / "parts"
        return sum(path.stat().st_size for path in parts.glob("*") if not path.suffix)

    def wait_for(self, count: int) -> None:
        """Wait until a process has stored so many bytes."""
        deadline = time.monotonic() + 30
        while self.stored < count:
            assert time.monotonic() < deadline, f"fewer than {count} bytes came"
            time.sleep(0.01)

    def fetch(self, uri: str, sha256: str | None = None, max_bytes: int | None = None) -> Path:
        return fetch(
            uri,
            self.destination,
            field="dataset.uri",
            sha256=sha256,
            max_bytes=max_bytes,
            report=self.reports.append,
            environment=self.environment,
            limits=self.limits,
        )

    def refusal(
        self, uri: str, sha256: str | None = None, max_bytes: int | None = None
    ) -> tuple[FailureReason, str]:
        """The reason and the message that a fetch ends with."""
        with pytest.raises(TrainingError) as caught:
            self.fetch(uri, sha256, max_bytes)
        return caught.value.reason, caught.value.message

    def start(
        self, uri: str, sha256: str | None = None, wrapper: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        """The same in a process of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [uri, str(self.destination), sha256 or ""]
        return subprocess.Popen(
            [*wrapper, sys.executable, "-m", "tests.trainer.storage.fetching", *arguments],
            env={**os.environ, **self.environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main(uri: str, destination: str, sha256: str) -> None:
    try:
        path = fetch(
            uri,
            Path(destination),
            field="dataset.uri",
            sha256=sha256 or None,
            max_bytes=None,
            report=lambda _message: None,
            limits=PATIENT,
        )
    except TrainingError as error:
        sys.exit(f"{error.reason}: {error.message}")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
