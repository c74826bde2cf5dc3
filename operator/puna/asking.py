"""Asking: golden prompts put to a canary's servers beside the passes, until all are answered.

One task for each endpoint that has something to ask. It ends with the run that it was begun for,
and decides nothing: what answers mean is the plan's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from puna.api.golden import Judge
from puna.cluster.client import Client
from puna.cluster.completions import CompletionError, Completions, Reply
from puna.cluster.errors import ClusterError
from puna.cluster.resources import SECRETS
from puna.core.backoff import retry_delay
from puna.core.plan import Ref
from puna.endpoint.golden import Answer, GoldenReport, GoldenRun
from puna.endpoint.questions import (
    CHAT,
    Question,
    ReplyError,
    judge_body,
    read_answer,
    read_score,
)

REQUESTS: Final = 8
"""Prompts under way at once, of all endpoints together."""

log = logging.getLogger(__name__)


class TroubleError(Exception):
    """A prompt that could not be asked, or not be judged; the message says why."""


@dataclass(slots=True)
class _Work:
    """The asking of one endpoint's canary."""

    run: GoldenRun
    report: GoldenReport
    task: asyncio.Task[None] | None = None
    bugs: int = 0
    """How often it was ended by an exception that nobody expected."""


class Asking:
    """What canaries answered to their golden prompts. No pass ever waits for an answer."""

    def __init__(self, completions: Completions, client: Client) -> None:
        self._completions = completions
        self._client = client
        self._works: dict[Ref, _Work] = {}
        self._slots = asyncio.Semaphore(REQUESTS)

    def report(
        self, endpoint: Ref, run: GoldenRun | None, changed: Callable[[], None]
    ) -> GoldenReport | None:
        """Return what has come of a run so far; it begins here, and ends any other one.

        `changed` is called when the last answer is there, and on troubles that come and go. What a
        bug has ended goes on where it was, after a pause.
        """
        work = self._works.get(endpoint)
        if work is not None and (run is None or run.digest != work.run.digest):
            self.stop(endpoint)
            work = None
        if run is None:
            return None
        if work is None:
            if not run.servers:
                return None
            work = self._works[endpoint] = _Work(run, GoldenReport(run.digest))
            self._start(endpoint, work, changed)
        work.run = run  # servers and routers come and go
        bug = _bug(work.task)
        if bug is not None:
            work.bugs += 1
            trouble = f"a bug of the operator, {type(bug).__name__}: its log tells where"
            work.report = replace(work.report, trouble=trouble)
            self._start(endpoint, work, changed)
        return work.report

    def stop(self, endpoint: Ref) -> None:
        """End what is under way for an endpoint, and forget what came of it."""
        work = self._works.pop(endpoint, None)
        if work is not None and work.task is not None:
            work.task.cancel()

    async def close(self) -> None:
        """End everything."""
        tasks = [work.task for work in self._works.values() if work.task is not None]
        for endpoint in list(self._works):
            self.stop(endpoint)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, endpoint: Ref, work: _Work, changed: Callable[[], None]) -> None:
        def tell_bug(task: asyncio.Task[None]) -> None:
            bug = _bug(task)
            if bug is not None:
                log.error("golden prompts: a bug", exc_info=bug)
                changed()

        work.task = asyncio.create_task(self._ask_all(endpoint, work, changed))
        work.task.add_done_callback(tell_bug)

    async def _ask_all(self, endpoint: Ref, work: _Work, changed: Callable[[], None]) -> None:
        """Ask what has no answer yet."""
        if work.bugs:
            await asyncio.sleep(retry_delay(work.bugs, None, random.random()))  # noqa: S311
        for question in work.run.questions[len(work.report.answers) :]:
            answer = await self._until_answered(endpoint, work, question, changed)
            answers = (*work.report.answers, answer)
            work.report = replace(work.report, answers=answers, trouble=None)
        changed()

    async def _until_answered(
        self, endpoint: Ref, work: _Work, question: Question, changed: Callable[[], None]
    ) -> Answer:
        """Ask until there is an answer, with its score where the judge is to give one."""
        failures = 0
        answer: Answer | None = None
        while True:
            try:
                answer = answer or await self._ask(work.run, question, turn=failures)
                judge = work.run.judge
                if question.prompt.rubric is None or judge is None or answer.refused:
                    return answer
                score, reason = await self._score(
                    work.run, judge, question, answer.text, turn=failures
                )
                return replace(answer, score=score, reason=reason)
            except TroubleError as error:
                failures += 1
                trouble = f"{question.prompt.name}: {error}"
                if trouble != work.report.trouble:
                    log.info("LLMEndpoint %s/%s: golden prompt %s", *_words(endpoint), trouble)
                    work.report = replace(work.report, trouble=trouble)
                    changed()
            await asyncio.sleep(retry_delay(failures, None, random.random()))  # noqa: S311

    async def _ask(self, run: GoldenRun, question: Question, *, turn: int) -> Answer:
        """Ask one of the canary's servers."""
        if not run.servers:
            raise TroubleError("no server of the canary is ready")
        url = run.servers[turn % len(run.servers)] + question.path
        timeout = question.prompt.timeout_seconds
        reply = await self._post(url, question.body, key=run.key, timeout=timeout)
        if reply.status == HTTPStatus.BAD_REQUEST:
            return Answer(question.prompt.name, reply.problem, refused=True)
        try:
            return Answer(question.prompt.name, read_answer(question.path, _good(reply)))
        except ReplyError as error:
            raise TroubleError(str(error)) from None

    async def _score(
        self, run: GoldenRun, judge: Judge, question: Question, answer: str, *, turn: int
    ) -> tuple[int, str]:
        """Ask the judge about an answer."""
        name = judge.endpoint_ref.name
        if not run.routers:
            raise TroubleError(f"judge {name}: no router of the namespace is ready")
        try:
            reply = await self._post(
                run.routers[turn % len(run.routers)] + CHAT,
                judge_body(question.prompt, answer, endpoint=name),
                key=await self._judge_key(run.namespace, judge),
                timeout=question.prompt.timeout_seconds,
            )
            return read_score(read_answer(CHAT, _good(reply)))
        except (TroubleError, ReplyError) as error:
            raise TroubleError(f"judge {name}: {error}") from None

    async def _judge_key(self, namespace: str, judge: Judge) -> str | None:
        """Return the API key for a judge that asks for one."""
        ref = judge.api_key_secret_ref
        if ref is None:
            return None
        try:
            secret = await self._client.get(SECRETS, namespace, ref.name)
        except ClusterError as error:
            raise TroubleError(f"apiKeySecretRef: Secret {ref.name}: {error}") from None
        member = (secret or {}).get("data", {}).get(ref.key)
        if member is None:
            raise TroubleError(f"apiKeySecretRef: there is no Secret {ref.name} with a {ref.key}")
        return b64decode(member).decode(errors="replace").strip()

    async def _post(
        self, url: str, body: Mapping[str, Any], *, key: str | None, timeout: float
    ) -> Reply:
        try:
            async with self._slots:
                return await self._completions.post(url, body, key=key, timeout=timeout)
        except CompletionError as error:
            raise TroubleError(str(error)) from None


def _good(reply: Reply) -> bytes:
    if reply.status != HTTPStatus.OK:
        raise TroubleError(reply.problem)
    return reply.body


def _bug(task: asyncio.Task[None] | None) -> BaseException | None:
    """Return what ended a task although nobody expected it."""
    ended = task is not None and task.done() and not task.cancelled()
    return task.exception() if task is not None and ended else None


def _words(endpoint: Ref) -> tuple[str, str]:
    return endpoint.namespace, endpoint.name
