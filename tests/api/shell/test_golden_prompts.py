"""Golden prompts of the running operator: no request for a canary that answers wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from puna.core.naming import endpoint_labels, endpoint_port
from puna.core.plan import Manifest
from puna_cli.cluster.api import LocalApi
from tests.api.shell.conftest import Team
from tests.api.shell.test_trouble import make_pod
from tests.cluster import eventually
from tests.operator_process import OperatorProcess, operator, start_operator

pytestmark = pytest.mark.api

MODEL, OTHER = "file:///srv/models/tiny.gguf", "file:///srv/models/other.gguf"
ADDRESS = "127.0.0.1"
NOBODY = "127.0.0.2"
"""Address of the stable revision's server, which nobody asks."""
ANALYSIS = {
    "goldenPrompts": [
        {"name": "capital", "prompt": "France:", "expected": {"contains": "Paris"}},
        {"name": "sum", "prompt": "1 + 1 =", "expected": {"matches": "^ ?2$"}},
    ]
}
CANARY = {"strategy": "Canary", "canary": {"steps": [{"weight": 10}], "analysis": ANALYSIS}}


class Server:
    """A server that answers what it is told, once it may."""

    def __init__(self) -> None:
        self.answers = {"France:": " Paris", "1 + 1 =": " 2"}
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.may_answer = threading.Event()
        self.may_answer.set()


@contextmanager
def serving(port: int) -> Iterator[Server]:
    """Serve completions at a port of the candidate's address."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.asked.append(body["prompt"])
            server.keys.add(self.headers["authorization"])
            server.may_answer.wait()
            answer = {"choices": [{"text": server.answers[body["prompt"]]}]}
            content = json.dumps(answer).encode()
            try:
                self.send_response(200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                return  # who asked is gone

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer((ADDRESS, port), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.may_answer.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


class Watcher:
    """Every weight that the router's document gave to any revision."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seen: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        with LocalApi(self._team.plane.paths, self._team.plane.server) as api:
            while not self._stop.is_set():
                path = f"/api/v1/namespaces/{self._team.namespace}/configmaps/chat-router-config"
                self.seen |= set(weights(api.get(path)).items())
                time.sleep(0.02)


def weights(config: Manifest | None) -> dict[str, int]:
    """Shares of the requests by revision."""
    if config is None:
        return {}
    document = json.loads(config["data"]["endpoint.json"])
    return {item["name"]: item["weight"] for item in document["revisions"]}


def live(team: Team, name: str, address: str) -> None:
    """Let a Deployment have its Pod, as controllers would."""
    deployment = team.get("Deployment", name)
    assert deployment is not None
    labels = deployment["metadata"]["labels"]
    marks = endpoint_labels(
        "chat", "llama-server", pool=labels["puna.dev/pool"], process=labels["puna.dev/process"]
    )
    counts = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}
    team.plane.kubectl(
        *("patch", "deployment", name, "-n", team.namespace),
        *("--subresource=status", "--type=merge", f"--patch={json.dumps({'status': counts})}"),
    )
    # Last: a canary with a Pod is asked at once, and gone where it answers wrong.
    make_pod(team, f"{name}-1", marks, address=address, owner=f"{name}-5d8f")


def change(team: Team) -> tuple[str, str]:
    """Serve a first model, then mean another; returns the stable revision and the candidate."""
    team.endpoint(rollout=CANARY)
    eventually(team.is_complete)
    (first,) = models(team)
    live(team, first, NOBODY)
    stable = eventually(lambda: status(team).get("stableRevision"))
    eventually(lambda: proven(team), what="the first model to have served")
    team.endpoint(rollout=CANARY, model={"uri": OTHER})
    candidate = eventually(lambda: status(team).get("canary", {}).get("revision"))
    second = eventually(lambda: next(iter(models(team) - {first}), None))
    live(team, second, ADDRESS)
    return stable, candidate


def models(team: Team) -> set[str]:
    """Names of the Deployments of llama-servers."""
    return {
        item["metadata"]["name"]
        for item in team.all("Deployment")
        if item["metadata"]["labels"].get("puna.dev/endpoint") == "chat"
    }


def proven(team: Team) -> bool:
    """Whether a stored revision has served."""
    return any(
        item["metadata"]["labels"].get("puna.dev/proven") == "true"
        for item in team.all("ControllerRevision")
    )


def status(team: Team) -> dict[str, Any]:
    found: dict[str, Any] = (team.get("LLMEndpoint", "chat") or {}).get("status", {})
    return found


def test_a_canary_that_answers_right_gets_its_share(team: Team, running: OperatorProcess) -> None:
    with serving(endpoint_port(team.namespace, "chat")) as server:
        stable, candidate = change(team)
        eventually(
            lambda: (
                weights(team.get("ConfigMap", "chat-router-config")) == {stable: 90, candidate: 10}
            ),
            what=running.text(),
        )
        assert server.asked == ["France:", "1 + 1 ="]
        assert None not in server.keys


def test_a_canary_that_answers_wrong_never_gets_a_request(
    team: Team, running: OperatorProcess
) -> None:
    with serving(endpoint_port(team.namespace, "chat")) as server, Watcher(team) as watcher:
        server.answers["1 + 1 ="] = " 11"
        stable, candidate = change(team)
        eventually(lambda: team.condition("Progressing")[1] == "CanaryFailed", what=running.text())
        message = team.condition("Progressing")[2]
        assert "1 of 2 golden prompts passed, at most 0 may fail: sum: " in message
        assert "expected an answer matching '^ ?2$', got ' 11'" in message
        eventually(lambda: len(models(team)) == 1, what="the canary's servers gone")
        team.settled()
        assert server.asked == ["France:", "1 + 1 ="]
    assert {weight for name, weight in watcher.seen if name == candidate} <= {0}
    assert {weight for name, weight in watcher.seen if name == stable} == {100}
    outcomes = {item["name"]: item.get("outcome") for item in status(team)["revisions"]}
    assert outcomes == {stable: None, candidate: "Failed"}


def test_an_operator_that_is_killed_while_it_asks_asks_again_and_fails_the_canary_once(
    team: Team, tmp_path: Path
) -> None:
    settings = {"WATCH_NAMESPACE": team.namespace}
    kubeconfig = team.plane.kubeconfig
    with serving(endpoint_port(team.namespace, "chat")) as server, Watcher(team) as watcher:
        server.answers["1 + 1 ="] = " 11"
        server.may_answer.clear()
        first = start_operator(kubeconfig, tmp_path / "first.log", **settings)
        try:
            _, candidate = change(team)
            eventually(lambda: server.asked == ["France:"], what=first.text())
            eventually(lambda: record(team, candidate), what="the revision to know that it began")
        finally:
            first.kill()
        since = record(team, candidate)["since"]
        server.may_answer.set()
        server.asked.clear()
        with operator(kubeconfig, tmp_path / "second.log", **settings) as second:
            eventually(
                lambda: team.condition("Progressing")[1] == "CanaryFailed", what=second.text()
            )
            team.settled()
        assert server.asked == ["France:", "1 + 1 ="]
        assert record(team, candidate)["since"] == since
        with operator(kubeconfig, tmp_path / "third.log", **settings):
            team.settled()
        assert server.asked == ["France:", "1 + 1 ="]
    assert {weight for name, weight in watcher.seen if name == candidate} <= {0}
    events = json.loads(team.plane.kubectl("get", "events", "-n", team.namespace, "-o=json"))
    failed = [item for item in events["items"] if item["reason"] == "CanaryFailed"]
    assert [item.get("count", 1) for item in failed] == [1]


def record(team: Team, revision: str) -> dict[str, Any]:
    """What is remembered of a revision's golden prompts."""
    found = team.get("ControllerRevision", f"chat-{revision}") or {"metadata": {}}
    text = found["metadata"].get("annotations", {}).get("puna.dev/golden-prompts", "{}")
    document: dict[str, Any] = json.loads(text)
    return document
