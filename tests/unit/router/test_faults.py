from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from puna_router.faults.answers import Asked, Surface, Work, events, read_asked, whole
from puna_router.faults.fault import Fault, draw, health_lies, read_chances
from puna_router.faults.settings import Plan, read_plan

ROOT = Path(__file__).parents[3]


def test_the_same_seed_gives_the_same_faults() -> None:
    chances = {Fault.RESET_BEFORE: 0.2, Fault.TRUNCATE: 0.1}
    first = [draw(7, number, chances) for number in range(500)]
    assert first == [draw(7, number, chances) for number in range(500)]
    assert first != [draw(8, number, chances) for number in range(500)]


def test_faults_come_as_often_as_their_probability_says() -> None:
    chances = {Fault.RESET_BEFORE: 0.2, Fault.TRUNCATE: 0.1}
    drawn = Counter(draw(1, number, chances) for number in range(20_000))
    assert drawn[Fault.RESET_BEFORE] == pytest.approx(4000, rel=0.05)
    assert drawn[Fault.TRUNCATE] == pytest.approx(2000, rel=0.1)
    assert set(drawn) == {Fault.RESET_BEFORE, Fault.TRUNCATE, None}


def test_a_sick_health_strikes_checks_alone() -> None:
    chances = {Fault.SICK_HEALTH: 1.0}
    assert draw(0, 0, chances) is None
    assert health_lies(0, 0, chances)
    assert not health_lies(0, 0, {})


def test_faults_of_requests_and_of_checks_are_apart() -> None:
    assert read_chances(["reset-before:0.5", "error-503:0.5", "sick-health:1"]) == {
        Fault.RESET_BEFORE: 0.5,
        Fault.ERROR_503: 0.5,
        Fault.SICK_HEALTH: 1.0,
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (["explode:0.5"], "no fault 'explode'"),
        (["truncate:2"], "from 0 to 1"),
        (["truncate:often"], "could not convert"),
        (["truncate:0.6", "trickle:0.6"], "exceed 1"),
    ],
)
def test_what_is_no_probability_is_refused(text: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_chances(text)


def test_a_plan_survives_its_document() -> None:
    plan = Plan(3, {Fault.HUGE: 0.25})
    assert read_plan(json.loads(json.dumps(plan.document()))) == plan


@pytest.mark.parametrize("content", [[], {"fault": {}}, {"faults": {"explode": 1}}, {"seed": "x"}])
def test_what_is_no_plan_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match=r"a plan is|no fault"):
        read_plan(content)


def test_a_request_sets_its_own_limit() -> None:
    body = {"messages": [], "max_tokens": 3, "stream": True}
    asked = read_asked("/v1/chat/completions", json.dumps(body).encode(), tokens=16, model="m")
    assert asked == Asked(Surface.CHAT, "[]", 3, stream=True, usage=False, model="m")


def test_a_stream_says_what_a_document_says() -> None:
    for surface in Surface:
        work = Work(Asked(surface, "word word", 3, stream=True, usage=True, model="m"), 0, 4, 0.01)
        parts = [json.loads(event[6:]) for event in events(work, "1") if b"[DONE]" not in event]
        assert parts[-1]["timings"] == whole(work, "1")["timings"]
        text = "".join(map(text_of, parts))
        assert text == text_of(whole(work, "1")) == " word word word"


def text_of(answer: dict[str, object]) -> str:
    found = re.findall(r'"(?:content|text)": "([^"]*)"', json.dumps(answer))
    return "".join(found)


def test_every_fault_is_documented() -> None:
    page = (ROOT / "docs" / "fault-lab.md").read_text(encoding="utf-8")
    assert [fault for fault in Fault if f"| `{fault}` |" not in page] == []
