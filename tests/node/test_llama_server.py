"""`python -m puna_node.llama_server`: the command line and HTTP surface of llama-server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster import eventually
from tests.ports import free_port

KEY = {"Authorization": "Bearer second"}
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 12}


def command(model: Path, port: int, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "puna_node.llama_server", "--model", str(model)),
        *("--host", "127.0.0.1", "--port", str(port), "--parallel", "2", "--ctx-size", "4096"),
        *("--threads", "1", "--cache-ram", "0", "--fit", "off", "--no-ui", "--metrics"),
        *("--alias", "chat", *more),
    ]


@contextmanager
def serving(arguments: Sequence[str], port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{port}"
        # The pipe is read all the time: a full one would stop the server.
        log: list[str] = []
        assert process.stderr is not None
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            eventually(lambda: status(url) == 200, what="".join(log))
            yield process, url
        finally:
            process.kill()
            process.wait()
            reader.join()


def status(url: str) -> int | None:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code
    except httpx.TransportError:
        return None


def test_it_answers_as_llama_server_does(models: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# two of them\nfirst\nsecond\n")
    port = free_port()
    arguments = command(models / "tiny.gguf", port, "--api-key-file", str(keys))
    with serving(arguments, port) as (_, url), httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/slots").status_code == 401
        slots = http.get("/slots", headers=KEY).json()
        assert [(slot["n_ctx"], slot["is_processing"]) for slot in slots] == [(2048, False)] * 2
        assert "llamacpp:requests_processing 0" in http.get("/metrics", headers=KEY).text
        named = {**CHAT, "model": "chat:precise"}
        answer = http.post("/v1/chat/completions", headers=KEY, json=named).json()
        # Whatever name was asked for, the alias is echoed.
        assert answer["model"] == "chat"
        assert answer["usage"]["completion_tokens"] == 12
        assert answer["choices"][0]["message"]["content"].isascii()
        infill = {"input_prefix": "a", "input_suffix": "b", "n_predict": 3}
        assert http.post("/infill", headers=KEY, json=infill).json()["tokens_predicted"] == 3
        lines = list(stream(http, {**CHAT, "stream": True}))
        assert lines[-1] == "data: [DONE]"
        assert json.loads(lines[-2].removeprefix("data: "))["choices"][0]["finish_reason"]


def stream(http: httpx.Client, body: dict[str, Any]) -> Iterator[str]:
    with http.stream("POST", "/v1/chat/completions", headers=KEY, json=body) as response:
        yield from (line for line in response.iter_lines() if line)


def test_sigterm_lets_a_running_request_end(slow_model: Path) -> None:
    port = free_port()
    with (
        serving(command(slow_model, port), port) as (process, url),
        httpx.Client(base_url=url, trust_env=False, timeout=60) as http,
    ):
        lines = stream(http, {**CHAT, "max_tokens": 100, "stream": True})
        next(lines)
        process.send_signal(signal.SIGTERM)
        assert list(lines)[-1] == "data: [DONE]"
        assert process.wait(timeout=10) == 0


def test_sigterm_ends_an_idle_server_at_once(models: Path) -> None:
    port = free_port()
    with serving(command(models / "tiny.gguf", port), port) as (process, _):
        time.sleep(0.3)  # until it has looked whether a signal came while it loaded
        process.send_signal(signal.SIGTERM)
        # What it waits for at most, for requests that are under way, takes longer.
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (["--model", "absent.gguf"], "failed to load model"),
        (["--model", "CORRUPT"], "failed to load model"),
        (["--host", "192.0.2.1"], "couldn't bind HTTP server socket"),
        (["--mlock"], "error: invalid argument: --mlock"),
        (["--api-key-file", "absent"], 'error while handling argument "--api-key-file"'),
    ],
)
def test_what_cannot_work_exits_with_upstreams_words(
    models: Path, tmp_path: Path, change: list[str], expected: str
) -> None:
    corrupt = tmp_path / "corrupt.gguf"
    corrupt.write_bytes((models / "tiny.gguf").read_bytes()[:2000])
    change = [str(corrupt) if text == "CORRUPT" else text for text in change]
    done = subprocess.run(
        command(models / "tiny.gguf", free_port(), *change),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert expected in done.stderr
