"""Golden prompts are asked beside the passes: again after failures, and no longer than wanted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from aiohttp import web

from puna.api.golden import GoldenPrompt, Judge
from puna.asking import Asking
from puna.cluster.client import Client
from puna.cluster.completions import Completions
from puna.core.backoff import FIRST_SECONDS
from puna.core.plan import Ref
from puna.endpoint.golden import Answer, GoldenReport, GoldenRun
from puna.endpoint.questions import question
from tests import factories
from tests.unit.operator_shell.api_server import Answer as ServerAnswer
from tests.unit.operator_shell.api_server import Server, document, serving

CHAT = Ref("team", "chat")
REVISION = factories.revision().data


class Lab:
    """A server that is candidate, router and API server in one, and what is asked of it."""

    def __init__(self, server: Server, url: str, asking: Asking) -> None:
        self.server, self.url, self.asking = server, url, asking
        self.bodies: list[Any] = []
        self.keys: list[str | None] = []
        self.changes = 0
        self.asked = asyncio.Event()

    def run(
        self, *prompts: GoldenPrompt, digest: str = "d", judge: Judge | None = None
    ) -> GoldenRun:
        return GoldenRun(
            digest=digest,
            namespace="team",
            questions=tuple(question(prompt, REVISION) for prompt in prompts),
            servers=(self.url,),
            key="backend-key",
            judge=judge,
            routers=(self.url,),
        )

    def report(self, run: GoldenRun | None) -> GoldenReport | None:
        return self.asking.report(CHAT, run, self._changed)

    async def until(self, run: GoldenRun, *, answers: int = 0, trouble: str = "") -> GoldenReport:
        async with asyncio.timeout(30):
            while True:
                report = self.report(run)
                assert report is not None
                if len(report.answers) >= answers and trouble in (report.trouble or ""):
                    return report
                await asyncio.sleep(0.01)

    def answers(self, *answers: ServerAnswer) -> None:
        """Lay answers ready; what is asked is written down."""

        def noting(answer: ServerAnswer) -> ServerAnswer:
            async def noted(request: web.Request) -> web.StreamResponse:
                if request.method == "POST":
                    self.bodies.append(await request.json())
                    self.keys.append(request.headers.get("Authorization"))
                    self.asked.set()
                return await answer(request)

            return noted

        self.server.answers = [noting(answer) for answer in answers]

    def _changed(self) -> None:
        self.changes += 1


@asynccontextmanager
async def lab() -> AsyncIterator[Lab]:
    async with serving() as (server, connection), aiohttp.ClientSession() as session:
        client = Client(connection, lambda *_: None)
        made = Lab(server, connection.host, Asking(Completions(session), client))
        yield made
        await made.asking.close()


def prompt(name: str, **members: Any) -> GoldenPrompt:
    minimal: dict[str, Any] = {"name": name, "prompt": name, "expected": {"contains": "a"}}
    return GoldenPrompt.model_validate(minimal | members)


def text(answer: str) -> ServerAnswer:
    return document({"choices": [{"text": answer}]})


def chat(answer: str) -> ServerAnswer:
    return document({"choices": [{"message": {"content": answer}}]})


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(600)
    return web.Response()


async def test_every_prompt_is_asked_once_with_the_servers_key() -> None:
    async with lab() as it:
        it.answers(text("one"), text("two"))
        run = it.run(prompt("first"), prompt("second"))
        assert it.report(run) == GoldenReport("d")
        report = await it.until(run, answers=2)
        assert report.answers == (Answer("first", "one"), Answer("second", "two"))
        assert [body["prompt"] for body in it.bodies] == ["first", "second"]
        assert set(it.keys) == {"Bearer backend-key"}
        await asyncio.sleep(0.05)
        assert it.report(run) == report
        assert (len(it.bodies), it.changes) == (2, 1)


async def test_a_server_that_cannot_answer_is_asked_again_and_that_is_told() -> None:
    async with lab() as it:
        loading = document({"error": {"message": "Loading model"}}, code=503)
        it.answers(loading, document({"choices": []}), text("one"))
        run = it.run(prompt("first"))
        report = await it.until(run, trouble="first: HTTP 503: Loading model")
        assert report.answers == ()
        report = await it.until(run, answers=1)
        assert report == GoldenReport("d", (Answer("first", "one"),))
        assert it.changes == 3


async def test_a_prompt_that_a_server_refuses_is_answered_by_that() -> None:
    async with lab() as it:
        it.answers(document({"error": {"message": "too long"}}, code=400))
        report = await it.until(run := it.run(prompt("first")), answers=1)
        assert report.answers == (Answer("first", "HTTP 400: too long", refused=True),)
        assert it.report(run) == report


async def test_a_server_that_says_nothing_is_waited_for_no_longer_than_the_prompt_says() -> None:
    async with lab() as it:
        it.answers(hang, text("one"))
        run = it.run(prompt("first", timeoutSeconds=1))
        await it.until(run, trouble="first: no answer within 1 s")
        await it.until(run, answers=1)


async def test_a_judge_scores_what_was_answered_once_and_is_asked_with_its_key() -> None:
    async with lab() as it:
        secret = document({"data": {"token": "c2VzYW1l"}})
        judged = chat('{"reason": "polite", "score": 8}')
        it.answers(text("Hello"), secret, chat("no score"), secret, judged)
        judge = Judge.model_validate(
            {"endpointRef": {"name": "grader"}, "apiKeySecretRef": {"name": "grader-key"}}
        )
        run = it.run(prompt("tone", rubric="Is polite."), judge=judge)
        await it.until(run, trouble="tone: judge grader: the judge's reply is no score: 'no score'")
        report = await it.until(run, answers=1)
        assert report.answers == (Answer("tone", "Hello", score=8, reason="polite"),)
        assert it.keys == ["Bearer backend-key", "Bearer sesame", "Bearer sesame"]
        assert it.server.requests[1].path == "/api/v1/namespaces/team/secrets/grader-key"
        assert "Answer:\nHello" in it.bodies[1]["messages"][1]["content"]


async def test_a_key_that_is_missing_is_named() -> None:
    async with lab() as it:
        it.answers(text("Hello"), document({"data": {}}))
        judge = Judge.model_validate(
            {"endpointRef": {"name": "grader"}, "apiKeySecretRef": {"name": "grader-key"}}
        )
        await it.until(
            it.run(prompt("tone", rubric="Is polite."), judge=judge),
            trouble="there is no Secret grader-key with a token",
        )


async def test_what_a_bug_has_ended_is_told_and_goes_on_after_a_pause() -> None:
    async with lab() as it:
        broken, secret = document({"data": {"token": "a"}}), document({"data": {"token": "YQ=="}})
        judged = chat('{"reason": "polite", "score": 8}')
        it.answers(
            text("one"), text("Hello"), broken, text("Hello"), broken, text("Hello"), secret, judged
        )
        judge = Judge.model_validate(
            {"endpointRef": {"name": "grader"}, "apiKeySecretRef": {"name": "grader-key"}}
        )
        run = it.run(prompt("first"), prompt("tone", rubric="Is polite."), judge=judge)
        began = time.monotonic()
        report = await it.until(run, trouble="a bug of the operator, Error: its log tells where")
        assert [answer.prompt for answer in report.answers] == ["first"]
        assert it.changes == 1
        report = await it.until(run, answers=2)
        assert report.trouble is None
        assert [answer.prompt for answer in report.answers] == ["first", "tone"]
        assert len(it.bodies) == 5
        assert time.monotonic() - began > FIRST_SECONDS * (0.5 + 1.0)


async def test_servers_that_went_are_an_error_and_others_that_came_are_asked() -> None:
    async with lab() as it:
        it.answers(document({}, code=500), text("one"))
        run = it.run(prompt("first"))
        await it.until(run, trouble="HTTP 500")
        gone = replace(run, servers=())
        await it.until(gone, trouble="no server of the canary is ready")
        await it.until(run, answers=1)


async def test_nothing_begins_before_a_server_is_ready() -> None:
    async with lab() as it:
        assert it.report(replace(it.run(prompt("first")), servers=())) is None


async def test_the_asking_ends_with_its_run_and_another_one_begins_anew() -> None:
    async with lab() as it:
        it.answers(hang, text("one"))
        assert it.report(it.run(prompt("first"))) is not None
        await it.asked.wait()
        report = await it.until(it.run(prompt("other"), digest="e"), answers=1)
        assert report == GoldenReport("e", (Answer("other", "one"),))
        assert it.report(None) is None
        it.answers(hang)
        assert it.report(it.run(prompt("first"))) == GoldenReport("d")
        it.asking.stop(CHAT)
        assert it.changes == 1
