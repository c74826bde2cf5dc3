"""`puna train logs -f`: what the trainer writes, until the run has ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from puna_cli.kubectl import Kubectl, KubectlError
from puna_cli.train.ending import ending
from puna_cli.train.job import CONTAINER, newest_pod, read_status
from puna_cli.train.patience import Patience

STAMPED: Final = re.compile(r"\d{4}-\d\d-\d\dT\S+ ")


def follow(
    kubectl: Kubectl,
    namespace: str,
    run: str,
    *,
    write: Callable[[str], None],
    patience: Patience,
) -> None:
    """Write what the trainer of a run writes, each line once, over all its Pods.

    Raises:
        CommandError: there is no such run, or its last words cannot be read.
    """
    pod, written, seen = None, "", 0
    while True:
        status = patience.ask(partial(read_status, kubectl, namespace, run))
        over = ending(status) is not None  # looked at first: nothing is written after that
        newest = patience.ask(partial(newest_pod, kubectl, namespace, run))
        if newest != pod:
            pod, written, seen = newest, "", 0
        try:
            if pod is not None:
                lines = _lines(kubectl, namespace, pod, since=written)
                for stamp, text in beyond(written, seen, lines):
                    write(text)
                    seen = seen + 1 if stamp == written else 1
                    written = stamp
        except KubectlError as problem:
            if over:
                raise
            patience.wait(problem)
            continue
        if over:
            return
        patience.wait()


def beyond(written: str, seen: int, lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield what follows the lines that are written already, `seen` of them at one moment.

    A node may give all lines that it reads at once the same time, and may have its clock set back.
    """
    for stamp, text in lines:
        if seen and stamp < written:
            continue
        if seen and stamp == written:
            seen -= 1
            continue
        seen = 0
        yield stamp, text


def _lines(kubectl: Kubectl, namespace: str, pod: str, *, since: str) -> Iterator[tuple[str, str]]:
    """Times and texts of the trainer's lines, as they come."""
    arguments = ["logs", f"--namespace={namespace}", pod, f"--container={CONTAINER}"]
    arguments += ["--follow", "--timestamps", *([f"--since-time={since}"] if since else [])]
    for line in kubectl.lines(*arguments):
        if STAMPED.match(line):  # else it is what a node says of its log
            stamp, _, text = line.partition(" ")
            yield stamp, text
