"""Golden prompts and a judge on the real llama.cpp, with a model that knows something."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from rich.console import Console

from puna.api.analysis import Analysis, Result
from puna.api.llmendpoint_status import RevisionRole
from puna.asking import Asking
from puna.cluster.completions import Completions
from puna.core.plan import Ref
from puna.endpoint.golden import GoldenReport, GoldenRun, digest_of, golden_verdict
from puna.endpoint.questions import HIGHEST_SCORE, question
from puna_cli.model import ensure_model
from puna_cli.paths import models_folder
from puna_cli.report import Step
from tests import factories
from tests.node.test_llama_server import command, serving
from tests.ports import free_port

pytestmark = pytest.mark.model

CHAT = Ref("team", "chat")
CANDIDATE = factories.revision(role=RevisionRole.CANDIDATE)
CAPITAL = {
    "name": "capital",
    "prompt": "Germany: Berlin\nItaly: Rome\nSpain: Madrid\nFrance:",
    "maxTokens": 3,
}
TONE = {
    "name": "tone",
    "messages": [{"role": "user", "content": "Say hello."}],
    "maxTokens": 16,
    "rubric": "The answer is a greeting.",
}


def analysis(*prompts: dict[str, Any]) -> Analysis:
    judge = {"endpointRef": {"name": "chat"}, "minScore": 1}
    return Analysis.model_validate({"goldenPrompts": prompts, "judge": judge})


async def answered(url: str, asked: Analysis) -> GoldenReport:
    """All answers of a server that is its own judge."""
    run = GoldenRun(
        digest=digest_of(CANDIDATE.name, asked),
        namespace="team",
        questions=tuple(question(prompt, CANDIDATE.data) for prompt in asked.golden_prompts),
        servers=(url,),
        key="second",
        judge=asked.judge,
        routers=(url,),
    )
    done = asyncio.Event()
    async with aiohttp.ClientSession() as session:
        client: Any = None  # no prompt's judge needs a key
        asking = Asking(Completions(session), client)
        asking.report(CHAT, run, done.set)
        async with asyncio.timeout(120):
            await done.wait()
        report = asking.report(CHAT, run, done.set)
        await asking.close()
    assert report is not None
    return report


def test_a_model_is_told_from_a_wrong_one_by_its_answers() -> None:
    step = Step(Console(quiet=True), "test")
    model = ensure_model(models_folder(os.environ), step)
    port = free_port()
    with serving(command(model, port), port) as (_, url):
        right = analysis(CAPITAL | {"expected": {"contains": "Paris"}}, TONE)
        report = asyncio.run(answered(url, right))
        assert golden_verdict(right, CANDIDATE, report).result is not Result.ERROR
        capital, tone = report.answers
        assert "Paris" in capital.text
        assert tone.score is not None
        assert 0 <= tone.score <= HIGHEST_SCORE
        again = asyncio.run(answered(url, right))
        assert again == report
        wrong = analysis(CAPITAL | {"expected": {"contains": "Vienna"}})
        verdict = golden_verdict(
            wrong,
            CANDIDATE,
            replace(report, digest=digest_of(CANDIDATE.name, wrong), answers=(capital,)),
        )
        assert verdict.result is Result.FAIL
        assert "capital: expected an answer containing 'Vienna', got " in verdict.message
