"""An endpoint whose servers embed texts, and refuse to chat in llama-server's own words."""

from __future__ import annotations

import httpx
import openai
import pytest

from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e

TEXTS = ["the sea", "a mountain " * 300]


def test_texts_are_embedded_and_completions_refused(stage: Stage) -> None:
    server = {"mode": "Embedding", "pooling": "mean", "contextLength": 1024}
    stage.apply(stage.preset("vectors", server=server), stage.endpoint(preset="vectors"))
    stage.wait_ready()
    with openai.OpenAI(base_url=f"{stage.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model="chat", input=TEXTS, encoding_format="float")
        lengths = {len(item.embedding) for item in answer.data}
        assert len(answer.data) == len(TEXTS)
        assert len(lengths) == 1
        with pytest.raises(openai.APIStatusError) as refusal:
            client.completions.create(model="chat", prompt="hello", max_tokens=4)
    assert refusal.value.status_code == httpx.codes.NOT_IMPLEMENTED
    assert "does not support completions" in refusal.value.response.text
