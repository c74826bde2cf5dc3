"""The router before the real llama.cpp, with a small synthetic model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.gguf_factory import write_tiny_gguf
from tests.router.program import RouterProgram, endpoint, eventually, free_port, revision
from tests.router.stub import PROCESS

KEY = "backend-key-0123456789"


def llama_server(folder: Path, model: Path, port: int) -> subprocess.Popen[bytes]:
    key_file = folder / "backend-key"
    key_file.write_text(KEY)
    arguments = {
        "--model": str(model), "--host": "127.0.0.1", "--port": str(port), "--alias": "chat",
        "--ctx-size": "4096", "--parallel": "2", "--threads": "1", "--api-key-file": str(key_file),
    }  # fmt: skip
    flat = [part for pair in arguments.items() for part in pair]
    with (folder / f"llama-{port}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "puna_node.llama_server", *flat, "--metrics"],
            stdout=log,
            stderr=log,
        )


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProgram]:
    folder = tmp_path_factory.mktemp("llama")
    model = folder / "tiny.gguf"
    write_tiny_gguf(model)
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        for port in ports:
            process = llama_server(folder, model, port)
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
        for port in ports:
            eventually(partial(healthy, port), 60)
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
            {
                "chat": [
                    {"address": "127.0.0.1", "port": port, "process": PROCESS} for port in ports
                ]
            },
            apiKeyFile=str(folder / "backend-key"),
        )
        stack.callback(started.stop)
        started.wait_healthy(2)
        yield started


@pytest.fixture
def client(router: RouterProgram) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{router.url}/v1", api_key="mine", max_retries=0) as made:
        yield made


MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


def test_an_openai_client_chats(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=MESSAGES)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 9
    assert answer.model == "chat"
    shorter = client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=4)
    assert shorter.usage is not None
    assert shorter.usage.completion_tokens == 4


def test_an_openai_client_streams_with_a_preset(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="chat:short",
        messages=MESSAGES,
        stream=True,
        max_completion_tokens=50,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_an_openai_client_lists_models_and_understands_errors(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["chat", "chat:greedy", "chat:short"]
    assert client.models.retrieve("chat:short").owned_by == "puna"
    with pytest.raises(openai.NotFoundError, match="there is chat, chat:greedy, chat:short"):
        client.chat.completions.create(model="gpt-4", messages=MESSAGES)


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
