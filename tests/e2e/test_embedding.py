"""Endpoints whose servers embed or rank texts, and what llama-server says where they do neither."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

TEXTS = ["the sea", "a mountain " * 60]
"""A token a letter: the second is longer than a batch would be without the mode."""


def post(stage: Stage, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{stage.url}{path}", json=body, timeout=30, trust_env=False)


def test_texts_are_embedded(stage: Stage) -> None:
    server = {"mode": "Embedding", "pooling": "mean", "contextLength": 1024}
    stage.apply(
        stage.preset("vectors", server=server),
        stage.endpoint("vectors", preset="vectors"),
        stage.endpoint(),
    )
    stage.wait_ready("vectors", "chat")
    with openai.OpenAI(base_url=f"{stage.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model="vectors", input=TEXTS, encoding_format="float")
    assert len(answer.data) == len(TEXTS)
    assert len({len(item.embedding) for item in answer.data}) == 1
    for path in ("/v1/embeddings", "/v1/rerank"):
        refused = post(stage, path, model="chat", input="sea", query="sea", documents=["a"])
        assert refused.status_code == httpx.codes.NOT_IMPLEMENTED
        assert refused.json()["error"]["type"] == "not_supported_error"


def test_documents_are_ranked(stage: Stage) -> None:
    stage.apply(
        stage.preset("ranks", server={"mode": "Rerank", "contextLength": 1024}),
        stage.endpoint(preset="ranks"),
    )
    stage.wait_ready()
    answer = post(stage, "/v1/rerank", model="chat", query="the sea", documents=TEXTS)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert {item["index"] for item in answer.json()["results"]} == {0, 1}
