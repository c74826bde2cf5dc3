"""Apply -> first streamed token through the router, against llama-server started by hand.

Both with the 270M model on the node, the same flags and the same request; median of five, by turns.
Before each turn the LLMEndpoint is deleted, and with it the namespace's router: both start anew.
One more turn is watched to tell where the time goes; watching costs time too, so it does not count.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import httpx
from rich.console import Console

from puna.core.readiness import is_ready
from puna_cli.model import SHA256, ensure_model, place
from puna_cli.paths import models_folder
from puna_cli.report import Report, Step
from puna_node.llama_command import LLAMA_SERVER, llama_command
from tests.bench.clusters import bench_stage
from tests.bench.report import Figure, report
from tests.e2e.models import ModelFile
from tests.e2e.objects import Manifest
from tests.e2e.servers import healthy_pods
from tests.e2e.stage import Stage

TURNS = 5
SERVER = {"contextLength": 1024, "slots": 1}
LONGEST = 60.0
POLL_SECONDS = 0.025
WATCH_SECONDS = 0.05
SETTLE_SECONDS = 1.0
"""Pause in which the cluster comes to rest before llama-server is started by hand."""
BODY: dict[str, Any] = {"prompt": "The sea is", "max_tokens": 8, "stream": True, "temperature": 0}


class Watcher:
    """Notes when what a request waits for comes true; asks every 50 ms, beside the request."""

    def __init__(self, stage: Stage) -> None:
        self.moments: dict[str, float] = {}
        self._stage = stage
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, began: float) -> None:
        """Begin; `began` on the monotonic clock is moment 0."""
        self._began = began
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(LONGEST)

    def reached(self, what: str, at: float | None = None) -> None:
        """Note the first time."""
        self.moments.setdefault(what, (at or time.monotonic()) - self._began)

    def _run(self) -> None:
        stage = self._stage
        while not self._stop.is_set():
            for what, holds in FACTS.items():
                if what not in self.moments and holds(stage):
                    self.reached(what)
            time.sleep(WATCH_SECONDS)


NOTHING: Final[Manifest] = {"metadata": {}, "spec": {}, "status": {}}


def _pod(stage: Stage) -> Manifest:
    return next(iter(stage.pods()), NOTHING)


def _router(stage: Stage) -> Manifest:
    return next(iter(stage.router_pods()), NOTHING)


def _state(pod: Manifest, group: str) -> Manifest:
    """State of the first container of a group."""
    entry: Manifest = next(iter(pod["status"].get(group, ())), {})
    state: Manifest = entry.get("state", {})
    return state


def _in_envoy(stage: Stage) -> bool:
    try:
        return bool(healthy_pods(stage))
    except (httpx.HTTPError, IndexError, KeyError):
        return False


FACTS: Final[dict[str, Callable[[Stage], bool]]] = {
    "Deployment": lambda stage: bool(
        stage.objects.all("Deployment", stage.namespace, "puna.dev/endpoint=chat")
    ),
    "Pod bound": lambda stage: "nodeName" in _pod(stage)["spec"],
    "fetch done": lambda stage: "terminated" in _state(_pod(stage), "initContainerStatuses"),
    "server started": lambda stage: "running" in _state(_pod(stage), "containerStatuses"),
    "router started": lambda stage: "running" in _state(_router(stage), "containerStatuses"),
    "router ready": lambda stage: is_ready(_router(stage)),
    "server ready": lambda stage: is_ready(_pod(stage)),
    "in Envoy": _in_envoy,
}


def time_of_first_token(client: httpx.Client, url: str, headers: dict[str, str]) -> float | None:
    """Ask once; when the first token came, on the monotonic clock."""
    try:
        with client.stream("POST", url, json={"model": "chat", **BODY}, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                return None
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    return time.monotonic()
    except httpx.TransportError:
        pass
    return None


def ask_until_answered(url: str, headers: dict[str, str] | None = None) -> float:
    """When the first token came; asks again every 25 ms until one does."""
    deadline = time.monotonic() + LONGEST
    with httpx.Client(timeout=LONGEST, trust_env=False) as client:
        while time.monotonic() < deadline:
            at = time_of_first_token(client, url, headers or {})
            if at is not None:
                return at
            time.sleep(POLL_SECONDS)
    raise AssertionError(f"{url}: no token within {LONGEST:.0f} s")


def by_hand(model: ModelFile, arguments: list[str]) -> float:
    """Seconds from the start of llama-server to its first token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changed = {"--host": "127.0.0.1", "--port": str(port), "--model": str(model.path)}
    server = llama_command(None, found_on_path=shutil.which(LLAMA_SERVER), python=sys.executable)
    command = [*server, *_changed(arguments, changed)]
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return ask_until_answered(f"http://127.0.0.1:{port}/v1/completions") - began
    finally:
        process.terminate()
        process.wait(30)


def _changed(arguments: list[str], changed: dict[str, str]) -> list[str]:
    """Flags with other values, and without the backend key."""
    words: list[str] = []
    flag = ""
    for word in arguments:
        is_value = not word.startswith("--")
        if not is_value:
            flag = word
        if flag != "--api-key-file":
            words.append(changed.get(flag, word) if is_value else word)
    return words


def through_the_cluster(stage: Stage, model: ModelFile) -> tuple[float, list[str]]:
    """Seconds from apply to the first token; with the flags of the llama-server."""
    began = time.monotonic()
    stage.apply(stage.endpoint(model=model, preset="bench"))
    seconds = ask_until_answered(f"{stage.url}/v1/completions") - began
    arguments = stage.pods()[0]["spec"]["containers"][0]["args"]
    return seconds, list(arguments)


def breakdown(stage: Stage, model: ModelFile) -> dict[str, float]:
    """When each step of a turn was reached, in seconds after the start of apply."""
    watcher = Watcher(stage)
    watcher.start(time.monotonic())
    try:
        stage.apply(stage.endpoint(model=model, preset="bench"))
        watcher.reached("applied")
        watcher.reached("first token", ask_until_answered(f"{stage.url}/v1/completions"))
        stage.wait_ready()
        watcher.reached("Ready is told")
    finally:
        watcher.stop()
    return dict(sorted(watcher.moments.items(), key=lambda item: item[1]))


def main() -> int:
    """Measure by turns and report."""
    step = Step(Report(Console(quiet=True)).console, "bench")
    file = ensure_model(models_folder(os.environ), step)
    turns: list[float] = []
    alone: list[float] = []
    with bench_stage() as stage:
        place(file, stage.models.folder)
        model = ModelFile(stage.models.folder / file.name, SHA256)
        stage.apply(stage.preset("bench", server=SERVER))
        for number in range(TURNS + 1):
            seconds, arguments = through_the_cluster(stage, model)
            stage.delete_everything()
            time.sleep(SETTLE_SECONDS)
            other = by_hand(model, arguments)
            if number == 0:
                continue  # fills the page cache
            turns.append(seconds)
            alone.append(other)
            print(f"{seconds:.2f} s, by hand {other:.2f} s", flush=True)
        steps = breakdown(stage, model)
        stage.delete_everything()
    for what, at in steps.items():
        print(f"  {at:6.2f} s  {what}")
    figure = Figure("apply to first token", median(turns), "s", anchor=median(alone), goal=2.0)
    details = {
        "turns": [round(seconds, 3) for seconds in turns],
        "by hand": [round(seconds, 3) for seconds in alone],
        "steps of a watched turn": {what: round(at, 2) for what, at in steps.items()},
    }
    return report("first_token", [figure], details)


if __name__ == "__main__":
    sys.exit(main())
