"""A llama-server that has no part in the proof serves the file as the model was trained."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from puna_trainer.language.model import Llama
from puna_trainer.language.tokenizer import save_tokenizer
from tests.ports import free_port
from tests.router.program import eventually
from tests.trainer.export.models import Model, model_of, tokenizer, with_shape

SAYINGS = (
    "The early bird catches the worm, and the second mouse gets the cheese in the end.",
    "A parser reads 1234 arguments, and writes one usage line for every program of yours.",
    "Nothing ventured, nothing gained: so says the option that nobody has ever set here.",
    "When in Rome, do as the Romans do; when in a namespace, do as the action does there.",
    "def add_argument(self, name):\n    return self.actions[name].store(default=None)\n",
)
"""What the model has learned by heart, each followed by the end of a text."""
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say hello to the \u00e9t\u00e9, and 2 more.\n"},
]
ANSWER = "hello to all of them"
TOKENS = 32


@pytest.fixture(scope="module")
def model() -> Model:
    """A model that knows the sayings and one answer by heart, and ends after each."""
    torch.manual_seed(0)
    shape = with_shape(layers=2, width=128, heads=4, kv_heads=2, feed_forward=256)
    llama = Llama(shape)
    encode = tokenizer().encode
    texts = [[*encode(text).ids, 0] for text in SAYINGS]
    turn = f"<|im_start|>user\nhello?<|im_end|>\n<|im_start|>assistant\n{ANSWER}<|im_end|>"
    texts.append(encode(turn).ids)
    length = max(map(len, texts))
    ids = torch.full((len(texts), length), -100)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    optimizer = torch.optim.AdamW(llama.parameters(), lr=3e-3)
    for _ in range(160):
        logits = llama(ids[:, :-1].clamp(min=0))
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    return model_of(llama)


@pytest.fixture(scope="module")
def server(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("served")
    arguments = {
        "--model": str(model.write(folder / "model.gguf")),
        "--host": "127.0.0.1",
        "--port": str(port := free_port()),
        "--threads": "1",
        "--parallel": "1",
        "--cache-type-k": "f32",
        "--cache-type-v": "f32",
        "--flash-attn": "off",
    }
    flat = [part for pair in arguments.items() for part in pair]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "puna_node.llama_server", *flat, "--jinja"],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            eventually(lambda: _is_healthy(client), 60)
            yield client
    finally:
        process.kill()
        process.wait(30)


def _is_healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def complete(server: httpx.Client, prompt: str, **options: Any) -> dict[str, Any]:
    body = {"prompt": prompt, "n_predict": TOKENS, "temperature": 0, "return_tokens": True}
    answer = server.post("/completion", json=body | options)
    assert answer.status_code == 200, answer.text
    completion: dict[str, Any] = answer.json()
    return completion


def greedy(model: Model, prompt: str) -> list[int]:
    """What torch writes: the likeliest token, one after the other, until the text ends."""
    ids = model.reference.encode(prompt)
    written: list[int] = []
    while len(written) < TOKENS:
        likeliest = model.reference.likeliest([*ids, *written])[-1]
        if likeliest in {model.vocabulary.end, model.vocabulary.end_of_turn}:
            break
        written.append(likeliest)
    return written


@pytest.mark.parametrize("saying", SAYINGS)
def test_greedy_text_is_that_of_torch(saying: str, model: Model, server: httpx.Client) -> None:
    prompt = saying[:12]
    completion = complete(server, prompt)
    wanted = greedy(model, prompt)
    assert [token for token in completion["tokens"] if token != model.vocabulary.end] == wanted
    assert completion["content"] == model.tokenizer.decode(wanted)
    assert len(wanted) > 10


def test_a_prompt_has_the_ids_that_it_had_in_training(model: Model, server: httpx.Client) -> None:
    for text in (*SAYINGS, "a<|im_end|>b", "  \n\n 12'S"):
        body = {"content": text, "add_special": True, "parse_special": True}
        found = server.post("/tokenize", json=body).json()["tokens"]
        assert found == model.reference.encode(text)


def test_generation_stops_at_the_end_of_the_text(server: httpx.Client) -> None:
    saying = SAYINGS[0]
    completion = complete(server, saying[:12], n_predict=200)
    assert saying[:12] + completion["content"] == saying
    assert completion["stop_type"] == "eos"


def test_a_chat_stops_at_the_end_of_the_turn(server: httpx.Client) -> None:
    answer = server.post(
        "/v1/chat/completions",
        json={
            "messages": [{"role": "user", "content": "hello?"}],
            "temperature": 0,
            "max_tokens": 200,
        },
    ).json()
    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_the_chat_template_renders_the_same_string(
    model: Model, server: httpx.Client, tmp_path: Path
) -> None:
    save_tokenizer(model.tokenizer, tmp_path, context_length=320)
    loaded: Any = AutoTokenizer.from_pretrained(tmp_path)
    wanted = loaded.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    found = server.post("/apply-template", json={"messages": CHAT}).json()["prompt"]
    assert found == wanted
    assert json.dumps(found).count("<|endoftext|>") == 0


def test_rows_without_a_token_are_never_written(model: Model, server: httpx.Client) -> None:
    biased = [[token, 100] for token in model.vocabulary.unused]
    completion = complete(server, "When", n_predict=8, logit_bias=biased)
    assert not set(completion["tokens"]) & set(model.vocabulary.unused)
