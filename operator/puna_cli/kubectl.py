"""kubectl as a child process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from puna_cli.errors import CommandError

FIELD_MANAGER = "puna-cli"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    binary: Path
    kubeconfig: Path

    def run(self, *args: str, text: str | None = None, seconds: float = 60) -> str:
        """Standard output of one call.

        Raises:
            CommandError: it failed, or took too long; with what it said.
        """
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *args]
        try:
            done = subprocess.run(
                command, input=text, capture_output=True, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                f"kubectl {' '.join(args)}: no end within {seconds:.0f} s"
            ) from error
        if done.returncode != 0:
            raise CommandError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def show(self, *args: str) -> None:
        """Let one call write to this program's own output, for as long as it takes.

        Raises:
            CommandError: it failed.
        """
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *args]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise CommandError(f"kubectl {' '.join(args)}: exit status {done.returncode}")

    def apply(self, manifests: Iterable[dict[str, Any]]) -> None:
        """Server-side apply of all objects in one call."""
        document = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run(
            *("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}"),
            *("-f", "-"),
            text=json.dumps(document),
        )
