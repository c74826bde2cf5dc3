"""API keys through the real Envoy: each property of a key alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from puna_router.control.admin import Admin
from puna_router.control.keys.meter import COUNTERS, used_tokens
from tests.router.program import RouterProgram, endpoint, eventually
from tests.router.stub import Gate, Stub, Stubs, echo, stream

CHAT = "/v1/chat/completions"
SECRET = "team-keys"
PRESETS = {"precise": {"forced": {"temperature": 0}}}


def text_of(name: str) -> str:
    return f"puna_{name:0<43}"


def key(name: str, **limits: Any) -> dict[str, Any]:
    return {"sha256": sha256(text_of(name).encode()).hexdigest(), **limits}


def keyed(name: str = "chat", secret: str = SECRET, **more: Any) -> dict[str, Any]:
    return endpoint(name, access={"secret": secret}, presets=PRESETS, **more)


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


class Keyed:
    """A router with endpoints `chat` and `code` that require keys, and `open` that does not."""

    def __init__(self, folder: Path, keys: dict[str, Any]) -> None:
        self.stubs = Stubs()
        self.stub: Stub = self.stubs.start()
        self.endpoints = [keyed("chat"), keyed("code"), endpoint("open", presets=PRESETS)]
        self.backends = {name: [self.stub.backend()] for name in ("chat", "code", "open")}
        self.router = RouterProgram(folder, self.endpoints, self.backends, keys={SECRET: keys})
        for name in self.backends:
            self.router.wait_healthy(1, name)

    def ask(
        self, name: str | None, model: str = "chat", path: str = CHAT, **headers: str
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {text_of(name)}"} if name else {}
        fields = {field.replace("_", "-"): value for field, value in headers.items()}
        return self.router.client.post(path, json={"model": model}, headers=sent | fields)

    def give(self, keys: dict[str, Any] | None) -> None:
        """Replace the keys; None: their Secret is gone."""
        given = {} if keys is None else {SECRET: keys}
        self.router.give_keys(self.endpoints, self.backends, given)

    def close(self) -> None:
        self.router.stop()
        self.stubs.close()


@contextmanager
def keyed_router(folder: Path, keys: dict[str, Any]) -> Iterator[Keyed]:
    started = Keyed(folder, keys)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """A router whose keys no test changes."""
    keys = {
        "alice": key("alice"),
        "bob": key("bob", endpoints=["code"]),
        "late": key("late", expiresAt=at(-1)),
        "slow": key("slow", requestsPerMinute=6, burst=2),
        "other": key("other", requestsPerMinute=6, burst=2),
    }
    with keyed_router(tmp_path_factory.mktemp("keys"), keys) as started:
        yield started


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """A router to which each test gives its keys."""
    with keyed_router(tmp_path_factory.mktemp("changing"), {}) as started:
        yield started


def error(answer: httpx.Response) -> tuple[int, str, str]:
    found = answer.json()["error"]
    assert found.keys() == {"code", "type", "reason", "message", "request_id"}
    assert found["code"] == answer.status_code
    assert found["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, found["type"], found["reason"]


UNKNOWN = (401, "authentication_error", "invalid_api_key")
FORBIDDEN = (403, "permission_error", "key_not_allowed")
LIMITED = (429, "rate_limit_error", "rate_limited")
UNREAD = (503, "unavailable_error", "keys_unavailable")


def test_a_key_opens_its_endpoints_by_either_header(shared: Keyed) -> None:
    assert shared.ask("alice").status_code == 200
    assert shared.ask(None, x_api_key=text_of("alice")).status_code == 200
    assert shared.ask(None, authorization=f"bearer {text_of('alice')}").status_code == 200
    basic = {"authorization": "Basic eDp5", "x_api_key": text_of("alice")}
    assert shared.ask(None, **basic).status_code == 200
    assert shared.ask("bob", "code").status_code == 200


def test_an_endpoint_without_access_asks_for_nothing(shared: Keyed) -> None:
    assert shared.ask(None, "open").status_code == 200
    assert shared.ask("nobody", "open").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": text_of("alice")},
        {"authorization": f"Bearer {text_of('alice')} x"},
        {"authorization": f"Bearer {text_of('nobody')}"},
        {"authorization": f"Bearer {text_of('alice')[:-1]}"},
        {"authorization": f"Bearer {sha256(text_of('alice').encode()).hexdigest()}"},
        {"authorization": f"Bearer {'x' * 50_000}"},
        {"x_api_key": "alice"},
        {"x_puna_client": "alice"},
        {"x_puna_target": "chat"},
        {"x_puna_client": "alice", "x_puna_target": "chat", "x_envoy_original_path": "/"},
    ],
)
def test_whoever_presents_no_key_stays_outside(shared: Keyed, headers: dict[str, str]) -> None:
    before = len(shared.stub.requests)
    answer = shared.ask(None, **headers)
    assert error(answer) == UNKNOWN
    assert answer.headers["www-authenticate"] == "Bearer"
    assert before == len(shared.stub.requests)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/endpoints/chat/v1/chat/completions"),
        ("POST", "/endpoints/chat/tokenize"),
        ("GET", "/endpoints/chat/slots"),
        ("HEAD", "/endpoints/chat/health"),
        ("GET", "/endpoints/chat/v1/models"),
        ("POST", "/llm/generate"),
        ("POST", "/v1/audio/transcriptions"),
        ("GET", "/v1/models/chat:precise"),
    ],
)
def test_no_way_leads_around_the_check(shared: Keyed, method: str, path: str) -> None:
    def ask(key_name: str) -> int:
        return shared.router.client.request(
            method,
            path,
            json={"model": "chat"} if method == "POST" else None,
            headers={"host": "chat", "authorization": f"Bearer {text_of(key_name)}"},
        ).status_code

    assert (ask("nobody"), ask("bob"), ask("alice")) == (401, 403, 200)


def test_a_host_header_opens_nothing(shared: Keyed) -> None:
    body = {"model": "gpt-4"}
    answer = shared.router.client.post(CHAT, json=body, headers={"host": "chat"})
    assert error(answer) == UNKNOWN


def test_who_may_not_use_an_endpoint_has_no_body_read(shared: Keyed) -> None:
    with shared.router.socket() as connection:
        head = "POST /endpoints/chat/v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        connection.sendall(f"{head}content-length: 1000000\r\n\r\n{{".encode())
        assert b" 401 " in connection.recv(200)


def test_a_key_of_other_endpoints_is_forbidden(shared: Keyed) -> None:
    assert error(shared.ask("bob")) == FORBIDDEN


def test_an_expired_key_is_told_so_by_who_holds_it(shared: Keyed) -> None:
    answer = shared.ask("late")
    assert error(answer) == UNKNOWN
    assert answer.json()["error"]["message"] == "this API key has expired"


def test_a_key_names_its_client_to_envoy_and_to_nobody_else(shared: Keyed) -> None:
    answer = shared.ask("alice", x_puna_client="bob")
    assert answer.status_code == 200
    seen = shared.stub.requests[-1]
    assert [seen.header(name) for name in ("authorization", "x-api-key", "x-puna-client")] == [
        None,
        None,
        None,
    ]
    assert 'key="alice"' in shared.router.metrics()


def test_a_rate_is_held_over_all_presets_and_says_when_to_come_back(shared: Keyed) -> None:
    first = shared.ask("slow")
    assert first.status_code == 200
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == (
        "2",
        "1",
    )
    assert shared.ask("slow", "chat:precise").status_code == 200
    for model in ("chat", "chat:precise"):
        answer = shared.ask("slow", model)
        assert error(answer) == LIMITED
        assert answer.json()["error"]["message"] == "this API key may send 6 requests per minute"
        assert answer.headers["retry-after"] == "10"
        assert answer.headers["x-ratelimit-remaining"] == "0"
        assert 0 < int(answer.headers["x-ratelimit-reset"]) <= 10
    # Another key, and another endpoint, have their own.
    assert shared.ask("other").status_code == 200
    assert shared.ask("slow", "code").status_code == 200


def test_what_an_open_endpoint_answers_says_nothing_of_limits(shared: Keyed) -> None:
    assert not [name for name in shared.ask(None, "open").headers if "ratelimit" in name]


def test_reading_a_servers_state_spends_nothing(shared: Keyed) -> None:
    headers = {"authorization": f"Bearer {text_of('other')}"}
    for _ in range(5):
        path = "/endpoints/code/slots"
        assert shared.router.client.get(path, headers=headers).status_code == 200


def test_lists_show_presets_of_keyed_endpoints_to_their_keys_alone(shared: Keyed) -> None:
    def models(name: str | None) -> list[str]:
        headers = {"authorization": f"Bearer {text_of(name)}"} if name else {}
        answer = shared.router.client.get("/v1/models", headers=headers)
        return [card["id"] for card in answer.json()["data"]]

    def presets(name: str | None) -> dict[str, list[str]]:
        headers = {"x-api-key": text_of(name)} if name else {}
        answer = shared.router.client.get("/llm/models", headers=headers)
        return {item["name"]: item["presets"] for item in answer.json()["models"]}

    without = ["chat", "code", "open", "open:precise"]
    assert models(None) == models("nobody") == models("late") == without
    assert models("bob") == ["chat", "code", "code:precise", "open", "open:precise"]
    assert models("alice") == [
        "chat", "chat:precise", "code", "code:precise", "open", "open:precise",
    ]  # fmt: skip
    assert presets(None) == {"chat": [], "code": [], "open": ["precise"]}
    assert presets("bob") == {"chat": [], "code": ["precise"], "open": ["precise"]}


def test_an_error_names_no_preset_of_a_keyed_endpoint(shared: Keyed) -> None:
    for model in ("chat:precise", "chat:missing"):
        assert error(shared.ask(None, model)) == UNKNOWN
    text = shared.ask(None, "missing").json()["error"]["message"]
    assert text == "there is no model missing; there is chat, code, open, open:precise"
    assert shared.ask("alice", "chat:missing").status_code == 404


def given(started: Keyed, **keys: dict[str, Any]) -> None:
    """Give keys, and wait until the first of them opens."""
    started.give(keys)
    eventually(lambda: started.ask(next(iter(keys))).status_code == 200)


def test_a_change_of_keys_works_at_once_and_drops_no_stream(changing: Keyed) -> None:
    given(changing, alice=key("alice"))
    gate = Gate()
    changing.stub.answer = stream(60, 0.01, gate)
    begun = threading.Event()

    def read() -> str:
        headers = {"authorization": f"Bearer {text_of('alice')}"}
        parts, client = [], changing.router.client
        body = {"model": "chat", "stream": True}
        with client.stream("POST", CHAT, json=body, headers=headers) as answer:
            for part in answer.iter_text():
                parts.append(part)
                begun.set()
        return "".join(parts)

    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(read)
        assert begun.wait(30)
        changing.stub.answer = echo
        changing.give({"bob": key("bob")})
        eventually(lambda: changing.ask("bob").status_code == 200)
        assert error(changing.ask("alice")) == UNKNOWN
        # All that while the stream goes on.
        gate.open()
        assert text.result(20).count('"token"') == 60


def test_a_rotated_key_overlaps_with_its_successor_and_ends(changing: Keyed) -> None:
    given(changing, **{"alice-2": key("alice-2"), "alice": key("alice", expiresAt=at(6))})
    assert changing.ask("alice").status_code == 200
    eventually(lambda: changing.ask("alice").status_code == 401)
    assert changing.ask("alice-2").status_code == 200


def test_an_endpoint_never_opens_for_want_of_keys(changing: Keyed) -> None:
    given(changing, alice=key("alice"))
    changing.give({})
    eventually(lambda: changing.ask("alice").status_code == 401)
    changing.give(None)
    eventually(lambda: changing.ask("alice").status_code == 503)
    answer = changing.ask(None)
    assert error(answer) == UNREAD
    assert answer.headers["retry-after"] == "5"
    assert SECRET not in answer.text
    assert changing.ask(None, "open").status_code == 200
    state = changing.router.state().endpoints["chat"]
    assert f"of the name {SECRET}" in (state.access or "")
    given(changing, alice=key("alice"))
    assert changing.router.state().endpoints["chat"].access is None


def test_other_routes_fill_no_bucket(changing: Keyed) -> None:
    given(changing, slow=key("slow", requestsPerMinute=1, burst=1))
    assert error(changing.ask("slow")) == LIMITED
    changed = [*changing.endpoints[:2], endpoint("open")]
    changing.router.update(changed, changing.backends)
    assert error(changing.ask("slow")) == LIMITED
    changing.router.update(changing.endpoints, changing.backends)


def test_tokens_are_counted_by_key(changing: Keyed) -> None:
    given(changing, counted=key("counted"), other=key("other"))
    changing.stub.answer = stream(5, 0)
    for name in ("counted", "counted", "other"):
        assert changing.ask(name).status_code == 200
    changing.stub.answer = echo
    # Each answer: 3 of the prompt (one more was cached), 5 generated.
    used = used_tokens(counters(changing.router))
    assert (used["chat", "counted"], used["chat", "other"]) == (16, 8)


def test_a_key_that_has_spent_its_tokens_waits_for_new_ones(changing: Keyed) -> None:
    # Eight tokens of eleven are spent by one answer, five are owed after the second.
    often = {"requestsPerMinute": 6000, "burst": 1000}
    given(changing, spender=key("spender", tokensPerMinute=11, **often), rich=key("rich"))
    changing.stub.answer = stream(5, 0)
    assert changing.ask("spender").status_code == 200
    assert changing.ask("spender").status_code == 200
    changing.stub.answer = echo
    eventually(lambda: changing.ask("spender").status_code == 429)
    answer = changing.ask("spender")
    assert error(answer)[2] == "tokens_exhausted"
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert changing.ask("rich").status_code == 200
    assert changing.ask("spender", "code").status_code == 200
    # More tokens a minute: what is owed is paid sooner.
    changing.give({"spender": key("spender", tokensPerMinute=6000, **often)})
    eventually(lambda: changing.ask("spender").status_code == 200)


def counters(router: RouterProgram) -> str:
    return asyncio.run(Admin(router.directory / "admin.sock").get(COUNTERS))


def test_random_keys_leave_no_trace(shared: Keyed) -> None:
    shared.ask("nobody")

    def series() -> set[str]:
        lines = shared.router.metrics().splitlines()
        return {line.rpartition(" ")[0] for line in lines if "_requests_total{" in line}

    before = series()
    for number in range(300):
        assert shared.ask(f"guess{number}").status_code == 401
    assert before == series()
