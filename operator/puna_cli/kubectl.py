"""kubectl as a child process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from puna_cli.errors import CommandError

FIELD_MANAGER = "puna-cli"


class KubectlError(CommandError):
    """kubectl failed, or took too long; with what it said."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    binary: Path
    kubeconfig: Path

    def run(self, *args: str, text: str | None = None, seconds: float = 60) -> str:
        """Standard output of one call.

        Raises:
            KubectlError: it failed, or took too long.
        """
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *args]
        try:
            done = subprocess.run(
                command, input=text, capture_output=True, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(
                f"kubectl {' '.join(args)}: no end within {seconds:.0f} s"
            ) from error
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def lines(self, *args: str) -> Iterator[str]:
        """Lines of one call as they come, for as long as it takes.

        Raises:
            KubectlError: it failed, after these lines.
        """
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *args]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        ) as process:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            assert process.stderr is not None  # noqa: S101 - likewise
            try:
                yield from process.stdout
            except GeneratorExit:  # nobody reads on
                process.terminate()
                raise
            said = process.stderr.read()
        if process.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: {said.strip()}")

    def show(self, *args: str) -> None:
        """Let one call write to this program's own output, for as long as it takes.

        Raises:
            KubectlError: it failed.
        """
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", *args]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: exit status {done.returncode}")

    def apply(self, manifests: Iterable[dict[str, Any]]) -> None:
        """Server-side apply of all objects in one call."""
        document = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.run(
            *("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}"),
            *("-f", "-"),
            text=json.dumps(document),
        )
