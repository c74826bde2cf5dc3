"""Ending a llama-server without cutting what it is answering."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx

from tests.cluster import ControlPlane, eventually
from tests.node.agents import (
    AgentProcess,
    Client,
    backend_key,
    is_ready,
    llama,
    llama_volumes,
    pod,
    pod_spec,
    timed,
)

HEADERS = {"Authorization": "Bearer key-of-the-backend"}
TOKENS = 400


def read_stream(url: str, lines: list[str]) -> None:
    body = {
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "max_tokens": TOKENS,
    }
    with (
        httpx.Client(timeout=60, trust_env=False) as http,
        http.stream("POST", f"{url}/v1/chat/completions", headers=HEADERS, json=body) as response,
    ):
        lines.extend(line for line in response.iter_lines() if line)


def test_a_running_stream_ends_before_the_server_does(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client, slow_model: Path
) -> None:
    plane.apply(backend_key(client.namespace))
    spec = pod_spec(
        shared_agent.node,
        llama(slow_model),
        volumes=llama_volumes(slow_model.parent),
        terminationGracePeriodSeconds=60,
    )
    plane.apply(pod(client.namespace, spec))
    found = client.wait(is_ready, seconds=30)
    url = f"http://{found['status']['podIP']}:20001"
    lines: list[str] = []
    reader = threading.Thread(target=read_stream, args=(url, lines))
    reader.start()
    with httpx.Client(trust_env=False) as http:
        eventually(
            lambda: any(
                s["is_processing"] for s in http.get(f"{url}/slots", headers=HEADERS).json()
            )
        )
    began = time.monotonic()
    plane.kubectl("delete", "pod", "pod", "-n", client.namespace, "--wait=false")
    reader.join(timeout=60)
    timed("delete -> stream complete", began)
    client.gone()
    timed("delete -> Pod gone", began)
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert len(chunks) >= TOKENS


def test_a_server_that_is_never_idle_ends_within_the_grace_period(
    plane: ControlPlane, shared_agent: AgentProcess, client: Client, slow_model: Path
) -> None:
    plane.apply(backend_key(client.namespace))
    spec = pod_spec(
        shared_agent.node,
        llama(slow_model),
        volumes=llama_volumes(slow_model.parent),
        terminationGracePeriodSeconds=2,
    )
    plane.apply(pod(client.namespace, spec))
    found = client.wait(is_ready, seconds=30)
    url = f"http://{found['status']['podIP']}:20001"
    body = {"prompt": "x", "max_tokens": 4000, "stream": True}
    with (
        httpx.Client(timeout=60, trust_env=False) as http,
        http.stream("POST", f"{url}/v1/completions", headers=HEADERS, json=body) as response,
    ):
        lines = response.iter_lines()  # kept: dropped, it would end the request
        next(lines)
        began = time.monotonic()
        plane.kubectl("delete", "pod", "pod", "-n", client.namespace, "--wait=false")
        client.gone()
        timed("delete -> gone with a stream in flight", began)
        rest: list[str] = []
        with suppress(httpx.TransportError):
            rest.extend(lines)
        assert "data: [DONE]" not in rest, "the stream was to last for longer"
