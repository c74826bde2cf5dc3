"""What servers and judges are asked, and what is read from what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from puna.api.golden import GoldenPrompt
from puna.endpoint.questions import (
    CHAT,
    COMPLETION,
    ReplyError,
    judge_body,
    question,
    read_answer,
    read_score,
)
from tests import factories

SPEC = factories.endpoint(presetRef={"name": "calm"})
CALM = factories.preset(
    "calm",
    precedence="Forced",
    sampling={"temperature": 0.9, "seed": 5, "topK": 7, "maxTokens": 1000, "stop": ["\n"]},
    prompt={"system": "Be brief."},
)
REVISION = factories.revision(SPEC, CALM).data
GREEDY = {"max_tokens": 8, "temperature": 0, "seed": 0, "cache_prompt": False}


def prompt(**members: Any) -> GoldenPrompt:
    return GoldenPrompt.model_validate({"name": "capital", "maxTokens": 8, **members})


def test_a_prompt_is_continued_with_the_revisions_sampling_but_greedily() -> None:
    asked = question(prompt(prompt="The capital is"), REVISION)
    assert asked.path == COMPLETION
    assert asked.body == GREEDY | {"top_k": 7, "stop": ["\n"], "prompt": "The capital is"}


def test_a_chat_gets_the_revisions_system_prompt_unless_it_brings_one() -> None:
    user = {"role": "user", "content": "Which capital?"}
    asked = question(prompt(messages=[user]), REVISION)
    assert asked.path == CHAT
    assert asked.body["messages"] == [{"role": "system", "content": "Be brief."}, user]
    own = {"role": "system", "content": "Be long."}
    assert question(prompt(messages=[own, user]), REVISION).body["messages"] == [own, user]


def test_a_prompt_may_be_asked_with_another_temperature_and_seed() -> None:
    body = question(prompt(prompt="a", temperature=0.5, seed=3), REVISION).body
    assert (body["temperature"], body["seed"]) == (0.5, 3)


def test_a_judge_is_told_everything_and_has_to_answer_by_the_schema() -> None:
    asked = prompt(messages=[{"role": "user", "content": "Why?"}], rubric="Names the reason.")
    body = judge_body(asked, "Because.", endpoint="grader")
    assert body["model"] == "grader"
    assert body["messages"][1]["content"] == (
        "Question:\nuser: Why?\n\nRubric:\nNames the reason.\n\nAnswer:\nBecause."
    )
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["reason", "score"]
    assert schema["properties"]["score"] == {"type": "integer", "minimum": 0, "maximum": 10}


def test_answers_are_read_from_both_shapes() -> None:
    completion = json.dumps({"choices": [{"text": " Paris"}]}).encode()
    chat = json.dumps({"choices": [{"message": {"content": "Paris"}}]}).encode()
    silent = json.dumps({"choices": [{"message": {"content": None}}]}).encode()
    assert read_answer(COMPLETION, completion) == " Paris"
    assert read_answer(CHAT, chat) == "Paris"
    assert read_answer(CHAT, silent) == ""


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"choices": []}', '{"choices": [{}]}', '{"choices": [{"message": 1}]}'],
)
def test_a_reply_without_an_answer_is_none(body: str) -> None:
    with pytest.raises(ReplyError, match="holds no answer"):
        read_answer(CHAT, body.encode())


def test_a_score_is_read_with_its_reason() -> None:
    assert read_score('{"reason": "good", "score": 8}') == (8, "good")


@pytest.mark.parametrize(
    "answer", ["", "8", '{"reason": "good"}', '{"score": "8"}', '{"score": 11}', '{"score": true}']
)
def test_a_reply_without_a_score_is_none(answer: str) -> None:
    with pytest.raises(ReplyError, match="judge's"):
        read_score(answer)
