"""The HTTP surface: which endpoint answers what, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.router.program import RouterProgram, endpoint, revision
from tests.router.stub import Stub, Stubs

CHAT = "/v1/chat/completions"
LINEAGE = {
    "job": 'tiny "2"',
    "seed": 7,
    "dataHash": "d" * 64,
    "scores": {"perplexity": 12.5},
    "sha256": "a" * 64,
}


class Pair:
    """A router with two endpoints, a backend each; `code` has no preset, `chat` has one."""

    def __init__(self, folder: Path) -> None:
        self.stubs = Stubs()
        self.chat: Stub = self.stubs.start()
        self.code: Stub = self.stubs.start()
        self.router = RouterProgram(
            folder,
            [
                endpoint("chat", presets={"precise": {"defaults": {"p": 1}}}),
                endpoint("code", revision() | {"lineage": LINEAGE}),
                endpoint("soon", revision(), revisions=[]),
            ],
            {"chat": [self.chat.backend()], "code": [self.code.backend()]},
        )
        self.router.wait_healthy(1, "chat")
        self.router.wait_healthy(1, "code")

    def ask(self, method: str, path: str | httpx.URL, **more: Any) -> httpx.Response:
        return self.router.client.request(method, path, **more)

    def reached(self, method: str, path: str, **more: Any) -> str:
        """Name of the endpoint whose backend got the request."""
        before = (len(self.chat.requests), len(self.code.requests))
        answer = self.ask(method, path, **more)
        assert answer.status_code == 200, answer.text
        after = (len(self.chat.requests), len(self.code.requests))
        return {(1, 0): "chat", (0, 1): "code"}[after[0] - before[0], after[1] - before[1]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    started = Pair(tmp_path_factory.mktemp("surface"))
    yield started
    started.router.stop()
    started.stubs.close()


def error(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document.keys() == {"type", "error"}
    assert document["type"] == "error"
    found: dict[str, Any] = document["error"]
    assert found.keys() == {"code", "type", "reason", "message", "request_id"}
    assert found["code"] == answer.status_code
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


def test_a_trained_model_says_where_it_comes_from(pair: Pair) -> None:
    models = {model["id"]: model for model in pair.ask("GET", "/v1/models").json()["data"]}
    assert models["code"]["lineage"] == [{"revision": revision()["name"]} | LINEAGE]
    assert pair.ask("GET", "/v1/models/code").json() == models["code"]
    assert "lineage" not in models["chat"]


def test_lists_name_every_endpoint_and_preset(pair: Pair) -> None:
    models = pair.ask("GET", "/v1/models").json()
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == ["chat", "chat:precise", "code", "soon"]
    assert pair.ask("GET", "/v1/models/chat:precise").json() == models["data"][1]
    assert pair.ask("GET", "/llm/models").json()["models"][0] == {
        "name": "chat",
        "presets": ["precise"],
    }
    assert pair.ask("GET", "/health").json() == {"status": "ok"}
    assert pair.ask("HEAD", "/health").status_code == 200


@pytest.mark.parametrize(
    ("model", "name"), [("chat", "chat"), ("code", "code"), ("chat:precise", "chat")]
)
@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings", "/llm/generate"])
def test_the_model_chooses_the_endpoint(pair: Pair, model: str, name: str, path: str) -> None:
    assert name == pair.reached("POST", path, json={"model": model, "prompt": "x"})


@pytest.mark.parametrize("host", ["code", "code:80", "CODE", "code.example"])
def test_a_service_name_pins_its_endpoint(pair: Pair, host: str) -> None:
    more = {"json": {"model": "chat"}, "headers": {"host": host}}
    expected = "chat" if host == "code.example" else "code"
    assert expected == pair.reached("POST", CHAT, **more)


def test_a_pinned_endpoint_still_takes_its_own_presets(pair: Pair) -> None:
    for path, headers in ((CHAT, {"host": "chat"}), ("/endpoints/chat" + CHAT, {})):
        for model, spliced in (("chat:precise", True), ("chat:other", False), ("gpt-4", False)):
            answer = pair.ask("POST", path, json={"model": model}, headers=headers)
            assert spliced == ("p" in answer.json())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "health"), ("GET", "props"), ("GET", "slots"), ("GET", "metrics"),
        ("GET", "v1/models"), ("GET", "lora-adapters"), ("GET", "slots?fail_on_no_slot=1"),
        ("POST", "completion"), ("POST", "completions"), ("POST", "tokenize"),
        ("POST", "detokenize"), ("POST", "apply-template"), ("POST", "infill"),
        ("POST", "embedding"), ("POST", "embeddings"), ("POST", "rerank"), ("POST", "v1/rerank"),
        ("POST", "v1/messages"), ("POST", "v1/responses"), ("POST", "v1/messages/count_tokens"),
        ("POST", "v1/responses/input_tokens"), ("POST", "v1/chat/completions/input_tokens"),
    ],
)  # fmt: skip
def test_llama_servers_own_paths_are_reached_below_the_endpoint(
    pair: Pair, method: str, path: str
) -> None:
    more: dict[str, Any] = {"json": {}} if method == "POST" else {}
    if path == "health":
        checks = pair.code.checks
        pair.ask(method, f"/endpoints/code/{path}", **more)
        assert pair.code.checks > checks
        return
    assert pair.reached(method, f"/endpoints/code/{path}", **more) == "code"
    assert f"/{path}" == pair.code.requests[-1].path


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/", 404, "path_not_found"),
        ("GET", "/metrics", 404, "path_not_found"),
        ("GET", "/state", 404, "path_not_found"),
        ("GET", "/v1/props", 404, "path_not_found"),
        ("GET", "/v1/health", 404, "path_not_found"),
        ("GET", "/props", 404, "path_not_found"),
        ("POST", "/completion", 404, "path_not_found"),
        ("POST", "/endpoints/chat", 404, "path_not_found"),
        ("POST", "/endpoints/chat/", 404, "path_not_found"),
        ("POST", "/endpoints/chat/slots/0?action=save", 404, "path_not_found"),
        ("POST", "/endpoints/chat/slots/0?action=erase", 404, "path_not_found"),
        ("POST", "/endpoints/chat/tools", 404, "path_not_found"),
        ("POST", "/endpoints/chat/mcp", 404, "path_not_found"),
        ("POST", "/endpoints/chat/models/load", 404, "path_not_found"),
        ("POST", "/endpoints/chat/v1/../models/load", 404, "path_not_found"),
        ("GET", "/endpoints/chat/v1/%2e%2e/models/load", 404, "path_not_found"),
        ("GET", "/endpoints/nope/props", 404, "endpoint_not_found"),
        ("GET", "/endpoints/chat:precise/props", 404, "endpoint_not_found"),
        ("GET", "/v1/models/nope", 404, "model_not_found"),
        ("POST", "/endpoints/chat/props", 405, "method_not_allowed"),
        ("POST", "/endpoints/chat/lora-adapters", 405, "method_not_allowed"),
        ("DELETE", "/endpoints/chat/completion", 405, "method_not_allowed"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("PUT", CHAT, 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_everything_else_is_refused(
    pair: Pair, method: str, path: str, status: int, reason: str
) -> None:
    before = (len(pair.chat.requests), len(pair.code.requests))
    answer = pair.ask(method, httpx.URL(pair.router.url).copy_with(raw_path=path.encode()), json={})
    assert (status, reason) == (answer.status_code, error(answer)["reason"])
    assert before == (len(pair.chat.requests), len(pair.code.requests))
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason", "told"),
    [
        ({"model": "nope"}, {}, 404, "model_not_found", "chat, chat:precise, code"),
        ({"model": "chat:nope"}, {}, 404, "model_not_found", "chat:precise"),
        ({"model": 'x"\n\\'}, {}, 404, "model_not_found", "x'?'"),
        ({}, {}, 400, "model_required", "chat, chat:precise, code"),
        ({"model": 1}, {}, 400, "model_required", "chat, chat:precise, code"),
        ({"model": "chat"}, {"x-puna-preset": "nope"}, 404, "preset_not_found", "precise"),
        ({"model": "code"}, {"x-puna-preset": "precise"}, 404, "preset_not_found", "none"),
        ({"model": "chat"}, {"content-encoding": "gzip"}, 415, "unsupported_encoding", "model"),
    ],
)
def test_refusals_name_what_there_is(  # noqa: PLR0917
    pair: Pair, body: Any, headers: dict[str, str], status: int, reason: str, told: str
) -> None:
    answer = pair.ask("POST", CHAT, json=body, headers=headers)
    found = error(answer)
    assert (status, reason) == (answer.status_code, found["reason"])
    assert told in found["message"]


def test_an_endpoint_without_revisions_says_that_nobody_serves_it(pair: Pair) -> None:
    answer = pair.ask("POST", CHAT, json={"model": "soon"})
    assert (answer.status_code, error(answer)["reason"]) == (503, "no_healthy_endpoint")
    assert answer.headers["retry-after"] == "5"


def test_a_path_that_hides_slashes_is_refused(pair: Pair) -> None:
    url = httpx.URL(pair.router.url).copy_with(raw_path=b"/endpoints/chat%2fprops")
    answer = pair.ask("GET", url)  # so early that the request has no id yet
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)


def test_internal_headers_of_clients_have_no_effect_and_reach_nobody(pair: Pair) -> None:
    headers = {
        "x-puna-target": "code",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-max-retries": "9",
        "x-envoy-original-path": "/props",
        "authorization": "Bearer mine",
        "x-api-key": "mine",
    }
    assert pair.reached("POST", CHAT, json={"model": "chat"}, headers=headers) == "chat"
    names = {name for name, _ in pair.chat.requests[-1].headers}
    assert not {name for name in names if name.startswith(("x-puna", "x-envoy"))}
    assert not names & {"authorization", "x-api-key"}


def test_request_ids_and_trace_context_pass_unchanged(pair: Pair) -> None:
    ids = {
        "x-request-id": "11111111-2222-4333-8444-555555555555",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=value",
    }
    answer = pair.ask("POST", CHAT, json={"model": "chat"}, headers=ids)
    assert answer.headers["x-request-id"] == ids["x-request-id"]
    got = dict(pair.chat.requests[-1].headers)
    assert ids == {name: got[name] for name in ids}


def test_uploads_pass_as_they_are_where_the_endpoint_is_known(pair: Pair) -> None:
    path = "/v1/audio/transcriptions"
    upload = {"file": ("a.wav", b"\x00\x01RIFF"), "model": (None, "whisper")}
    assert pair.reached("POST", "/endpoints/code" + path, files=upload) == "code"
    assert b"\x00\x01RIFF" in pair.code.requests[-1].body
    assert error(pair.ask("POST", path, files=upload))["reason"] == "model_required"


def test_http2_clients_are_served(pair: Pair) -> None:
    with pair.router.socket() as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        )
        assert connection.recv(9)[3] == 4


def test_wrong_http_gets_the_error_document(pair: Pair) -> None:
    with pair.router.socket() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"error":{"code":400' in answer
