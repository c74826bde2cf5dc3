"""Which golden prompts have to be asked, and what their answers say of a revision."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from puna.api.analysis import Analysis, Result
from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import Outcome, RevisionRole
from puna.core.naming import endpoint_port
from puna.core.plan import Manifest
from puna.endpoint.canary import Position
from puna.endpoint.golden import (
    METRIC,
    Answer,
    GoldenReport,
    GoldenRun,
    analysis_of,
    digest_of,
    golden_run,
    golden_verdict,
    remembered,
)
from puna.endpoint.golden_record import GoldenRecord, read_record
from puna.endpoint.matching import is_expected
from puna.endpoint.revision import StoredRevision, stored_revisions
from tests import factories
from tests.factories import NOW

PARIS = {"name": "capital", "prompt": "The capital of France is", "expected": {"contains": "Paris"}}
SUM = {"name": "sum", "prompt": "1 + 1 =", "expected": {"equals": "2"}}
TONE = {"name": "tone", "messages": [{"role": "user", "content": "Hi"}], "rubric": "Is friendly."}
PORT = endpoint_port(factories.NAMESPACE, factories.NAME)


def analysis(*prompts: Manifest, **members: Any) -> Analysis:
    return Analysis.model_validate({"goldenPrompts": prompts or (PARIS, SUM), **members})


def endpoint(strategy: str = "Canary", **members: Any) -> LLMEndpoint:
    canary = {"steps": [{"weight": 10}], "analysis": analysis(**members).to_dict()}
    return factories.endpoint(rollout={"strategy": strategy, "canary": canary})


CANDIDATE = factories.revision(endpoint(), role=RevisionRole.CANDIDATE)
DIGEST = digest_of(CANDIDATE.name, analysis())


def report(*texts: str, trouble: str | None = None, digest: str = DIGEST) -> GoldenReport:
    names = ("capital", "sum")
    answers = tuple(Answer(name, text) for name, text in zip(names, texts, strict=False))
    return GoldenReport(digest, answers, trouble)


def run(
    item: StoredRevision = CANDIDATE, resource: LLMEndpoint | None = None, **members: Any
) -> GoldenRun | None:
    ready = factories.pod(item.process, status={"podIP": "10.0.0.7"})
    router = factories.pod("x", name="puna-router-1", status={"podIP": "fd00::8"})
    given: dict[str, Any] = {"key": "secret", "encrypted": False, "pods": (ready,)} | members
    return golden_run(
        resource or endpoint(),
        (factories.stored(item),),
        given["pods"],
        (router,),
        key=given["key"],
        encrypted=given["encrypted"],
    )


def test_a_candidate_is_asked_on_its_own_servers() -> None:
    asked = run()
    assert asked is not None
    assert asked.servers == (f"http://10.0.0.7:{PORT}",)
    assert asked.routers == ("http://[fd00::8]:8080",)
    assert asked.digest == DIGEST
    assert [item.prompt.name for item in asked.questions] == ["capital", "sum"]
    assert "secret" not in repr(asked)


def test_routers_with_tls_are_asked_so() -> None:
    asked = run(encrypted=True)
    assert asked is not None
    assert asked.routers == ("https://[fd00::8]:8080",)


def test_servers_that_are_not_ready_or_of_another_process_are_not_asked() -> None:
    pods = (
        factories.pod(CANDIDATE.process, ready=False, status={"podIP": "10.0.0.7"}),
        factories.pod("0badc0de", status={"podIP": "10.0.0.9"}),
    )
    asked = run(pods=pods)
    assert asked is not None
    assert asked.servers == ()


@pytest.mark.parametrize(
    "item",
    [
        replace(CANDIDATE, role=RevisionRole.STABLE),
        replace(CANDIDATE, outcome=Outcome.FAILED),
        replace(CANDIDATE, position=Position(0, NOW)),
        replace(CANDIDATE, golden=GoldenRecord(DIGEST, NOW, "2 of 2 golden prompts passed")),
    ],
)
def test_nothing_is_asked_of_what_is_no_candidate_or_has_answered(item: StoredRevision) -> None:
    assert run(item) is None


def test_nothing_is_asked_without_prompts_steps_or_a_key() -> None:
    assert run(key=None) is None
    assert run(resource=factories.endpoint()) is None
    assert analysis_of(factories.endpoint()) is None
    without = {"strategy": "Canary", "canary": {"steps": [{"weight": 10}], "analysis": {}}}
    assert run(resource=factories.endpoint(rollout=without)) is None


def test_an_operator_that_was_away_asks_what_was_not_answered() -> None:
    assert run(replace(CANDIDATE, golden=GoldenRecord(DIGEST, NOW))) is not None
    other = GoldenRecord("0" * 8, NOW, "2 of 2 golden prompts passed")
    assert run(replace(CANDIDATE, golden=other)) is not None


def said(
    answers: GoldenReport | None, asked: Analysis | None = None, item: StoredRevision = CANDIDATE
) -> tuple[Result, str]:
    verdict = golden_verdict(asked or analysis(), item, answers)
    assert verdict.name == METRIC
    return verdict.result, verdict.message


def test_right_answers_pass() -> None:
    assert said(report(" Paris.", " 2\n")) == (Result.PASS, "2 of 2 golden prompts passed")


def test_a_wrong_answer_fails_by_its_name_with_what_was_expected_and_said() -> None:
    result, message = said(report(" Paris.", " 3"))
    assert result is Result.FAIL
    assert message == (
        "1 of 2 golden prompts passed, at most 0 may fail: "
        "sum: expected an answer equal to '2', got ' 3'"
    )


def test_some_may_be_allowed_to_fail() -> None:
    some = analysis(maxFailedPrompts=1)
    digest = digest_of(CANDIDATE.name, some)
    result, message = said(report(" Paris.", " 3", digest=digest), some)
    assert result is Result.PASS
    assert message.startswith("1 of 2 golden prompts passed, at most 1 may fail: sum")


def test_a_prompt_that_the_server_refuses_has_failed() -> None:
    answers = (Answer("capital", "Paris"), Answer("sum", "HTTP 400: too long", refused=True))
    result, message = said(GoldenReport(DIGEST, answers))
    assert result is Result.FAIL
    assert message.endswith("sum: the server refused it: 'HTTP 400: too long'")


def test_while_answers_are_missing_nothing_is_said() -> None:
    nothing = (Result.INCONCLUSIVE, "0 of 2 golden prompts are answered")
    assert said(None) == nothing
    assert said(report("no", "no", digest="0" * 8)) == nothing
    assert said(report("no")) == (Result.INCONCLUSIVE, "1 of 2 golden prompts are answered")


def test_what_cannot_be_asked_is_an_error() -> None:
    assert said(report("Paris", trouble="sum: HTTP 503: loading")) == (
        Result.ERROR,
        "sum: HTTP 503: loading",
    )
    bad = analysis({"name": "bad", "prompt": "a", "expected": {"matches": "("}})
    answers = GoldenReport(digest_of(CANDIDATE.name, bad), (Answer("bad", "a"),))
    assert said(answers, bad) == (Result.ERROR, "bad: (: missing ): (")


def test_a_judge_decides_by_its_score() -> None:
    judged = analysis(TONE, judge={"endpointRef": {"name": "grader"}, "minScore": 6})
    digest = digest_of(CANDIDATE.name, judged)

    def answered(score: int) -> tuple[Result, str]:
        answer = Answer("tone", "Hello!", score=score, reason="It is polite.")
        return said(GoldenReport(digest, (answer,)), judged)

    assert answered(6)[0] is Result.PASS
    result, message = answered(5)
    assert result is Result.FAIL
    assert message == (
        "0 of 1 golden prompts passed, at most 0 may fail: tone: the judge gave 5 of 10, at least "
        "6 were expected ('It is polite.'), for 'Hello!'"
    )


@given(
    names=st.lists(st.booleans(), min_size=1, max_size=32),
    most=st.integers(min_value=0, max_value=31),
    length=st.integers(min_value=0, max_value=5000),
)
def test_more_failures_than_allowed_fail_and_messages_stay_short(
    names: list[bool], most: int, length: int
) -> None:
    prompts = [
        {"name": f"p{number}", "prompt": "a", "expected": {"contains": "right"}}
        for number in range(len(names))
    ]
    asked = analysis(*prompts, maxFailedPrompts=most)
    answers = tuple(
        Answer(f"p{number}", "right" if good else "w" * length) for number, good in enumerate(names)
    )
    verdict = golden_verdict(
        asked, CANDIDATE, GoldenReport(digest_of(CANDIDATE.name, asked), answers)
    )
    assert (verdict.result is Result.FAIL) is (names.count(False) > most)
    assert verdict.result in {Result.PASS, Result.FAIL}
    assert len(verdict.message) < 1200


def test_a_revision_remembers_that_it_was_asked_and_that_it_passed() -> None:
    assert remembered(analysis(), CANDIDATE, None, NOW) is None
    begun = remembered(analysis(), CANDIDATE, report(), NOW)
    assert begun == GoldenRecord(DIGEST, NOW)
    later = NOW + timedelta(minutes=1)
    asked = replace(CANDIDATE, golden=begun)
    assert remembered(analysis(), asked, report(), later) == begun
    done = remembered(analysis(), asked, report("Paris", "2"), later)
    assert done == GoldenRecord(DIGEST, NOW, "2 of 2 golden prompts passed")
    passed = replace(CANDIDATE, golden=done)
    assert said(None, item=passed) == (Result.PASS, "2 of 2 golden prompts passed")
    assert remembered(analysis(), passed, None, later) == done


@given(
    digest=st.text(),
    passed=st.none() | st.text(),
    seconds=st.integers(min_value=0, max_value=10**9),
)
def test_a_record_is_read_as_it_was_written(digest: str, passed: str | None, seconds: int) -> None:
    record = GoldenRecord(digest, NOW + timedelta(seconds=seconds), passed)
    assert read_record(record.to_text()) == record


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"since": 1, "digest": "a"}', "null"])
def test_a_record_that_says_nothing_is_none(text: str | None) -> None:
    assert read_record(text) is None


def test_a_stored_revision_keeps_its_record() -> None:
    record = GoldenRecord(DIGEST, NOW, "passed")
    manifest = factories.stored(replace(CANDIDATE, golden=record))
    (read,) = stored_revisions((manifest,))
    assert read.golden == record


def test_the_documentation_shows_every_field() -> None:
    page = (Path(__file__).parents[3] / "docs/rollouts.md").read_text(encoding="utf-8")
    (block,) = (text for text in page.split("```") if "goldenPrompts:" in text)
    rollout = yaml.safe_load(block.removeprefix("yaml\n"))["rollout"]
    shown = factories.endpoint(rollout=rollout)
    asked = analysis_of(shown)
    assert asked is not None
    first, second, third = asked.golden_prompts
    assert first.prompt == "Germany: Berlin\nItaly: Rome\nFrance:"
    assert second.expected is not None
    assert is_expected(" 4.", second.expected)
    assert not is_expected("42", second.expected)
    assert third.rubric is not None
    assert asked.judge is not None
