"""Golden prompts of a canary: what has to be asked, of whom, and what the answers say of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from puna.api.analysis import Analysis, MetricVerdict, Result
from puna.api.golden import GoldenPrompt, Judge
from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import RevisionRole
from puna.api.rollout import RolloutStrategy
from puna.core.naming import digest8, endpoint_port
from puna.core.plan import Manifest
from puna.core.readiness import is_ready
from puna.endpoint.golden_record import GoldenRecord
from puna.endpoint.matching import ExpressionError, described, is_expected
from puna.endpoint.questions import HIGHEST_SCORE, Question, question
from puna.endpoint.revision import StoredRevision, stored_revisions
from puna_router.config import CLIENT_PORT, LABEL_PROCESS

METRIC: Final = "GoldenPrompts"
"""Name of the metric among those of a verdict."""
MOST_SHOWN: Final = 200
"""Characters of an answer that are told."""
MOST_NAMED: Final = 3
"""Failed prompts that a message tells of."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one prompt."""

    prompt: str
    """Name of the prompt."""
    text: str
    """The answer, or the server's words where it refused the prompt."""
    refused: bool = False
    score: int | None = None
    """What the judge gives it; None where it is not asked."""
    reason: str = ""
    """The judge's words."""


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """What has come of a run so far."""

    digest: str
    """Of the run that it speaks of."""
    answers: tuple[Answer, ...] = ()
    """In the order of the prompts."""
    trouble: str | None = None
    """Why the next one could not be asked; None: nothing stands in its way."""


@dataclass(frozen=True, slots=True)
class GoldenRun:
    """Everything that the asking has to know."""

    digest: str
    """Of revision, prompts and judge: another one asks anew."""
    namespace: str
    questions: tuple[Question, ...]
    servers: tuple[str, ...]
    """Base urls of the revision's ready servers."""
    key: str = field(repr=False)
    """What these require of their callers."""
    judge: Judge | None = None
    routers: tuple[str, ...] = ()
    """Base urls of the namespace's ready routers, which lead to the judge."""


def analysis_of(endpoint: LLMEndpoint) -> Analysis | None:
    """Return what a new revision is asked before its first request, if it is asked anything."""
    rollout = endpoint.spec.rollout
    if rollout.strategy is not RolloutStrategy.CANARY or rollout.canary is None:
        return None
    analysis = rollout.canary.analysis
    return analysis if analysis is not None and analysis.golden_prompts else None


def is_to_be_asked(revision: StoredRevision) -> bool:
    """Return whether a revision is a candidate that has got no request yet."""
    return (
        revision.role is RevisionRole.CANDIDATE
        and revision.outcome is None
        and revision.position.step is None
    )


def golden_run(
    endpoint: LLMEndpoint,
    children: Iterable[Manifest],
    pods: Iterable[Manifest],
    routers: Iterable[Manifest],
    *,
    key: str | None,
    encrypted: bool,
) -> GoldenRun | None:
    """Return what is to be asked now; None where nothing is, or all is answered.

    `routers` are the namespace's ready router Pods, `key` is what servers require of their
    callers, `encrypted` says whether routers speak TLS with clients.
    """
    analysis = analysis_of(endpoint)
    if analysis is None or key is None or endpoint.status.rollback is not None:
        return None  # what is gone back to has served before
    candidate = next((item for item in stored_revisions(children) if is_to_be_asked(item)), None)
    if candidate is None:
        return None
    digest, record = digest_of(candidate.name, analysis), candidate.golden
    if record is not None and record.digest == digest and record.passed is not None:
        return None
    name, namespace = endpoint.metadata.name, endpoint.metadata.namespace
    port, scheme = endpoint_port(namespace, name), "https" if encrypted else "http"
    servers = [
        pod
        for pod in pods
        if pod["metadata"].get("labels", {}).get(LABEL_PROCESS) == candidate.process
        and is_ready(pod)
    ]
    return GoldenRun(
        digest=digest,
        namespace=namespace,
        questions=tuple(question(prompt, candidate.data) for prompt in analysis.golden_prompts),
        servers=_urls(servers, "http", port),
        key=key,
        judge=analysis.judge,
        routers=_urls(routers, scheme, CLIENT_PORT),
    )


def digest_of(revision: str, analysis: Analysis) -> str:
    """Return the digest of everything that decides about the answers of a revision."""
    judge = analysis.judge
    return digest8(
        {
            "revision": revision,
            "prompts": [prompt.to_dict() for prompt in analysis.golden_prompts],
            "judge": judge.to_dict() if judge else None,
            "most": analysis.max_failed_prompts,
        }
    )


def golden_verdict(
    analysis: Analysis, candidate: StoredRevision, report: GoldenReport | None
) -> MetricVerdict:
    """Return what the answers of a revision say of it, as far as they are there."""
    digest, record = digest_of(candidate.name, analysis), candidate.golden
    if record is not None and record.digest == digest and record.passed is not None:
        return _verdict(Result.PASS, record.passed)
    if report is None or report.digest != digest:
        report = GoldenReport(digest)
    prompts = analysis.golden_prompts
    if report.trouble is not None:
        return _verdict(Result.ERROR, report.trouble)
    if len(report.answers) < len(prompts):
        message = f"{len(report.answers)} of {len(prompts)} golden prompts are answered"
        return _verdict(Result.INCONCLUSIVE, message)
    try:
        return _judged(analysis, report)
    except ExpressionError as error:
        return _verdict(Result.ERROR, str(error))


def remembered(
    analysis: Analysis, candidate: StoredRevision, report: GoldenReport | None, now: datetime
) -> GoldenRecord | None:
    """Return what is to be remembered with a revision once something was asked of it."""
    digest, record = digest_of(candidate.name, analysis), candidate.golden
    if record is None or record.digest != digest:
        if report is None or report.digest != digest:
            return None
        record = GoldenRecord(digest, since=now)
    verdict = golden_verdict(analysis, candidate, report)
    return replace(record, passed=verdict.message if verdict.result is Result.PASS else None)


def _urls(pods: Iterable[Manifest], scheme: str, port: int) -> tuple[str, ...]:
    """Return base urls of Pods, in the order of their names."""
    addresses = {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in pods
        if pod.get("status", {}).get("podIP")
    }
    return tuple(
        f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}"
        for _, address in sorted(addresses.items())
    )


def _judged(analysis: Analysis, report: GoldenReport) -> MetricVerdict:
    """Return what all answers say, with the arithmetic.

    Raises:
        ExpressionError: a prompt's regular expression cannot be read.
    """
    prompts, most = analysis.golden_prompts, analysis.max_failed_prompts
    lowest = analysis.judge.min_score if analysis.judge else 0
    pairs = zip(prompts, report.answers, strict=True)
    failures = [problem for pair in pairs if (problem := _problem(*pair, lowest=lowest))]
    counted = f"{len(prompts) - len(failures)} of {len(prompts)} golden prompts passed"
    if not failures:
        return _verdict(Result.PASS, counted)
    more = len(failures) - MOST_NAMED
    told = [*failures[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]
    message = f"{counted}, at most {most} may fail: {'; '.join(told)}"
    return _verdict(Result.FAIL if len(failures) > most else Result.PASS, message)


def _verdict(result: Result, message: str) -> MetricVerdict:
    return MetricVerdict(name=METRIC, result=result, message=message)


def _problem(prompt: GoldenPrompt, answer: Answer, *, lowest: int) -> str | None:
    """Return what is wrong with an answer; None if it is right."""
    if answer.refused:
        return f"{prompt.name}: the server refused it: {_shown(answer.text)}"
    try:
        wrong = prompt.expected is not None and not is_expected(answer.text, prompt.expected)
    except ExpressionError as error:
        raise ExpressionError(f"{prompt.name}: {error}") from None
    if prompt.expected is not None and wrong:
        wanted = described(prompt.expected)
        return f"{prompt.name}: expected an answer {wanted}, got {_shown(answer.text)}"
    if answer.score is not None and answer.score < lowest:
        return (
            f"{prompt.name}: the judge gave {answer.score} of {HIGHEST_SCORE}, at least {lowest} "
            f"were expected ({_shown(answer.reason)}), for {_shown(answer.text)}"
        )
    return None


def _shown(text: str) -> str:
    """Return the first characters of a text in quotes, line ends told as such."""
    return repr(text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}...")
