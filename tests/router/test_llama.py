"""The router before the real llama.cpp, with a small synthetic model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.gguf_factory import write_tiny_gguf
from tests.router.llama import key_file, start_llama_servers
from tests.router.program import RouterProgram, endpoint, eventually, revision


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProgram]:
    folder = tmp_path_factory.mktemp("llama")
    model = folder / "tiny.gguf"
    write_tiny_gguf(model)
    with ExitStack() as stack:
        servers = start_llama_servers(stack, folder, model, (), ())
        own = revision(
            defaults={"temperature": 0.25, "max_tokens": 9},
            forced={"top_k": 17},
            systemPrompt="Be kind.",
        )
        presets = {
            "short": {"forced": {"max_tokens": 3}},
            "greedy": {"defaults": {"temperature": 0}},
        }
        started = RouterProgram(
            folder,
            [endpoint("chat", own, presets=presets)],
            {"chat": servers},
            apiKeyFile=str(key_file(folder)),
        )
        stack.callback(started.stop)
        started.wait_healthy(2)
        yield started


MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


def test_presets_reach_the_server(router: RouterProgram) -> None:
    own = router.client.post("/llm/generate", json={"prompt": "x"}).json()["generation_settings"]
    assert (own["temperature"], own["top_k"]) == (0.25, 17)
    greedy = router.client.post(
        "/llm/generate", json={"model": "chat:greedy", "prompt": "x", "n_predict": 2}
    )
    assert greedy.json()["generation_settings"]["temperature"] == 0
    forced = router.client.post(
        "/llm/generate", json={"prompt": "x", "top_k": 3, "temperature": 0.5}
    )
    settings = forced.json()["generation_settings"]
    assert (settings["temperature"], settings["top_k"]) == (0.5, 17)


def test_the_system_prompt_is_in_the_prompt(router: RouterProgram) -> None:
    path = "/endpoints/chat/apply-template"
    prompt = router.client.post(path, json={"messages": MESSAGES}).json()["prompt"]
    assert prompt.startswith("system: Be kind.\nuser: hi\n")
    own = [{"role": "system", "content": "Mine."}, *MESSAGES]
    assert (
        router.client.post(path, json={"messages": own})
        .json()["prompt"]
        .startswith("system: Mine.")
    )


def test_streams_end_with_done_and_plain_answers_are_whole(router: RouterProgram) -> None:
    for _ in range(100):
        answer = router.client.post(
            "/v1/chat/completions", json={"messages": MESSAGES, "stream": True}
        )
        assert answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n")
        assert router.client.post("/llm/generate", json={"prompt": "x"}).json()["stop"] is True


def test_the_servers_own_pages_and_errors_come_through(router: RouterProgram) -> None:
    assert router.client.get("/endpoints/chat/props").json()["total_slots"] == 2
    assert len(router.client.get("/endpoints/chat/slots").json()) == 2
    assert "llamacpp:" in router.client.get("/endpoints/chat/metrics").text
    answer = router.client.post("/v1/chat/completions", json={"messages": "x"})
    assert answer.status_code >= 400
    assert "message" in answer.json()["error"]


def counted(router: RouterProgram, series: str) -> float:
    """A series of endpoint `chat`, over all its other labels."""
    lines = (line for line in router.metrics().splitlines() if line.startswith(f"{series}{{"))
    return sum(float(line.split()[1]) for line in lines if 'endpoint="chat"' in line)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 7}),
        ("/v1/completions", {"prompt": "xyz", "max_tokens": 7}),
        ("/v1/messages", {"messages": MESSAGES, "max_tokens": 7}),
        ("/v1/responses", {"input": "xyz", "max_output_tokens": 7}),
    ],
)
def test_no_protocol_leaves_tokens_uncounted(
    router: RouterProgram, path: str, body: dict[str, Any], *, stream: bool
) -> None:
    def count(kind: str) -> float:
        return counted(router, f"puna_router_{kind}_tokens_total")

    before = {kind: count(kind) for kind in ("prompt", "generated")}
    answer = router.client.post(path, json={**body, "stream": stream})
    assert answer.status_code == 200
    eventually(lambda: count("generated") - before["generated"] == 7)
    assert count("prompt") > before["prompt"]


def test_tokens_and_times_are_counted(router: RouterProgram) -> None:
    count = partial(counted, router)
    names = ["prompt", "cached", "generated"]
    before = [count(f"puna_router_{name}_tokens_total") for name in names]
    timings = router.client.post("/llm/generate", json={"prompt": "xyz", "n_predict": 5}).json()[
        "timings"
    ]
    text = router.client.post("/llm/generate/stream", json={"prompt": "xyz", "n_predict": 6}).text
    last = json.loads(text.strip().splitlines()[-1].removeprefix("data: "))["timings"]
    fields = ["prompt_n", "cache_n", "predicted_n"]
    expected = [
        start + timings[name] + last[name] for start, name in zip(before, fields, strict=True)
    ]
    eventually(lambda: expected == [count(f"puna_router_{name}_tokens_total") for name in names])
    eventually(lambda: count("puna_router_time_to_first_token_seconds_count") > 0)
    assert count("puna_router_request_duration_seconds_sum") > 0
