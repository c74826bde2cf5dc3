"""Promises 2 and 3: an LLMEndpoint through kubectl, and what clients get from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from rich.console import Console

from puna_cli.model import ensure_model, place
from puna_cli.paths import models_folder
from puna_cli.report import Report, Step
from tests.cluster import LocalCluster, eventually
from tests.e2e.models import Models
from tests.e2e.objects import OURS, Objects
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-first-endpoint" / "endpoint.yaml"
LEFT_ALONE = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


@pytest.fixture(scope="module")
def chat(local_cluster: LocalCluster, objects: Objects, models: Models) -> Iterator[Stage]:
    """Endpoint `chat` with two replicas, a preset of its own and a forced one."""
    stage = Stage(local_cluster, objects, models, local_cluster.new_namespace("first"))
    stage.apply(
        stage.preset("balanced", server={"contextLength": 512, "slots": 2}, temperature=0.7),
        stage.preset("precise", forced=True, temperature=0, topK=7, maxTokens=5, seed=11),
        stage.endpoint(preset="balanced", presets=["precise"], replicas=2),
    )
    stage.kubectl("wait", "--for=condition=Ready", "llme/chat", "--timeout=60s")
    # Ready means that a request is answered now, so this is the first thing to try.
    assert stage.ask()["choices"]
    yield stage
    stage.delete_everything()


def test_kubectl_get_shows_the_columns(chat: Stage) -> None:
    heading, row = chat.kubectl("get", "llme", "chat").splitlines()
    assert heading.split() == ["NAME", "READY", "MODEL", "POOLS", "ROLLOUT", "URL", "AGE"]
    assert row.split()[:7] == [
        "chat", "2/2", "tiny.gguf", "default", "2/2", "Complete", f"{chat.url}/v1",
    ]  # fmt: skip


def test_kubectl_describe_tells_the_story(chat: Stage) -> None:
    def told() -> str | None:
        text = chat.kubectl("describe", "llme", "chat")
        return text if "BecameReady" in text and "RevisionCreated" in text else None

    # Events are sent after the status is stored.
    text = eventually(told, seconds=10, what="Events in kubectl describe")
    for condition in ("Accepted", "ResolvedRefs", "ModelReady", "Available", "Progressing"):
        assert condition in text
    assert "Warning" not in text, text


def test_an_openai_client_gets_answers(chat: Stage) -> None:
    client = openai.OpenAI(base_url=f"{chat.url}/v1", api_key="none")
    for model in ("chat", "chat:precise"):
        plain = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hello"}], max_tokens=6
        )
        assert plain.choices[0].message.content
        streamed = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hello"}], max_tokens=6, stream=True
        )
        pieces = [part.choices[0].delta.content or "" for part in streamed if part.choices]
        assert "".join(pieces)
    client.close()


def test_model_lists_hold_every_endpoint(chat: Stage) -> None:
    client = openai.OpenAI(base_url=f"{chat.url}/v1", api_key="none")
    assert [model.id for model in client.models.list()] == [
        "chat", "chat:balanced", "chat:precise",
    ]  # fmt: skip
    client.close()
    assert chat.read("/llm/models") == {
        "models": [{"name": "chat", "presets": ["balanced", "precise"]}]
    }


def test_generate_plain_and_streamed(chat: Stage) -> None:
    answer = chat.ask(path="/llm/generate", n_predict=3)
    assert answer["content"]
    assert answer["stop"] is True
    with httpx.stream(
        "POST",
        f"{chat.url}/llm/generate/stream",
        json={"prompt": "hello", "max_tokens": 3},
        timeout=30,
        trust_env=False,
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = [line for line in stream.iter_lines() if line.startswith("data: ")]
    assert len(events) >= 3
    assert json.loads(events[-1].removeprefix("data: "))["stop"] is True


def test_a_servers_own_api_is_reached_by_name(chat: Stage) -> None:
    props = chat.read("/endpoints/chat/props")
    assert props["model_alias"] == "chat"
    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] == 512
    tokens = chat.ask(path="/endpoints/chat/tokenize", content="hello")
    assert tokens["tokens"]
    missing = httpx.get(f"{chat.url}/endpoints/other/props", timeout=10, trust_env=False)
    assert missing.status_code == httpx.codes.NOT_FOUND
    assert missing.json()["error"]["reason"] == "endpoint_not_found"


def test_forced_values_reach_the_server_and_defaults_yield(chat: Stage) -> None:
    asked: dict[str, Any] = {"temperature": 1.5, "top_k": 3, "seed": 99, "max_tokens": 8}
    forced = chat.ask("chat:precise", path="/endpoints/chat/completion", **asked)
    assert forced["tokens_predicted"] == 5
    settings = forced["generation_settings"]
    assert (settings["temperature"], settings["top_k"], settings["seed"]) == (0, 7, 11)
    own = chat.ask(path="/endpoints/chat/completion", **asked)["generation_settings"]
    assert (own["temperature"], own["top_k"], own["seed"]) == (1.5, 3, 99)
    silent = chat.ask(path="/endpoints/chat/completion")["generation_settings"]
    assert silent["temperature"] == pytest.approx(0.7)


def test_a_pod_answers_nobody_without_the_backend_key(chat: Stage) -> None:
    pod = chat.pods()[0]
    port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    address = f"http://{pod['status']['podIP']}:{port}/v1/completions"
    body = {"prompt": "hello", "max_tokens": 2}
    with httpx.Client(timeout=10, trust_env=False) as client:
        assert client.post(address, json=body).status_code == httpx.codes.UNAUTHORIZED
        headers = {"authorization": f"Bearer {chat.backend_key()}"}
        assert client.post(address, json=body, headers=headers).status_code == httpx.codes.OK


def test_scale_up_down_and_to_nothing(stage: Stage) -> None:
    stage.apply(stage.endpoint())
    stage.wait_ready()
    assert stage.kubectl("get", "llme", "chat", "-o=jsonpath={.status.selector}")
    for replicas in (3, 1):
        stage.kubectl("scale", "llme/chat", f"--replicas={replicas}")
        stage.wait_ready()
        eventually(lambda n=replicas: len(stage.pods()) == n, seconds=30)  # type: ignore[misc]
        assert stage.ask()["choices"]
    stage.kubectl("scale", "llme/chat", "--replicas=0")
    stage.wait_condition("chat", "Available", "NoReplicas")
    eventually(lambda: not stage.pods(), seconds=30)
    refused = httpx.post(
        f"{stage.url}/v1/completions",
        json={"model": "chat", "prompt": "hello"},
        timeout=10,
        trust_env=False,
    )
    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    stage.kubectl("scale", "llme/chat", "--replicas=1")
    stage.wait_ready()
    assert stage.ask()["choices"]


def test_delete_leaves_nothing(stage: Stage) -> None:
    stage.apply(
        stage.preset("precise", forced=True, temperature=0),
        stage.endpoint("one", presets=["precise"], replicas=2),
        stage.endpoint("two", model=stage.models.other),
    )
    stage.wait_ready("one", "two")
    folders = pod_folders(stage)
    assert len(folders) == 4
    stage.kubectl("delete", "llme", "one", "two", "--timeout=30s")
    eventually(lambda: not stage.objects.children(stage.namespace), seconds=60, what="no children")
    left = {
        (item["kind"], item["metadata"]["name"])
        for kind in ("ConfigMap", "Secret", "Service", "ServiceAccount", "ReplicaSet", "Pod")
        for item in stage.objects.all(kind, stage.namespace)
    }
    assert left <= LEFT_ALONE
    eventually(lambda: not any(map(Path.exists, folders)), seconds=20, what="no Pod's folder")


def pod_folders(stage: Stage) -> list[Path]:
    """Folders of the agent for the namespace's Pods."""
    names = {pod["metadata"]["uid"][:8] for pod in stage.objects.all("Pod", stage.namespace, OURS)}
    return [
        path
        for path in stage.cluster.paths.agent.rglob("*")
        if path.is_dir() and path.name[:8] in names and len(path.name) in (8, 36)
    ]


@pytest.mark.model
def test_the_example_answers_with_a_real_model(stage: Stage) -> None:
    step = Step(Report(Console(quiet=True)).console, "test")
    model = ensure_model(models_folder(stage.cluster.home.environment), step)
    place(model, stage.cluster.paths.volumes / stage.namespace / "models")
    stage.kubectl("apply", "-f", str(EXAMPLE))
    stage.kubectl("wait", "--for=condition=Ready", "llme/chat", "--timeout=90s", seconds=100)
    client = openai.OpenAI(base_url=f"{stage.url}/v1", api_key="none")
    streamed = client.chat.completions.create(
        model="chat:precise",
        messages=[{"role": "user", "content": "Which city is the capital of France?"}],
        max_tokens=32,
        stream=True,
    )
    text = "".join(part.choices[0].delta.content or "" for part in streamed if part.choices)
    client.close()
    assert "Paris" in text
    stage.kubectl("delete", "-f", str(EXAMPLE), "--timeout=30s")
