"""Fields of golden prompts, each with a change, and what a candidate is asked and judged by."""

from __future__ import annotations

from typing import Any

from puna.api.llmendpoint_status import RevisionRole
from puna.core.plan import Manifest
from puna.endpoint.golden import Answer, GoldenReport, analysis_of, golden_run, golden_verdict
from puna.endpoint.questions import judge_body
from tests import factories

Change = tuple[dict[str, Any], dict[str, Any]]
PROMPT: Manifest = {
    "name": "capital",
    "prompt": "Which?",
    "expected": {"contains": "Paris"},
    "rubric": "Is right.",
}
JUDGE = {"endpointRef": {"name": "grader"}}
PATH = "spec.rollout.canary.analysis"


def golden(judge: Manifest | None = None, most: int = 0, **members: Any) -> dict[str, Any]:
    """A spec with one prompt, and a second one that is always right."""
    prompt = {key: value for key, value in (PROMPT | members).items() if value is not None}
    right = {"name": "right", "prompt": "a", "expected": {"contains": "Rome"}}
    analysis = {
        "goldenPrompts": [prompt, right],
        "judge": JUDGE | (judge or {}),
        "maxFailedPrompts": most,
    }
    steps = [{"weight": 10}]
    return {"rollout": {"strategy": "Canary", "canary": {"steps": steps, "analysis": analysis}}}


def chat(role: str = "user", content: str = "Which?") -> dict[str, Any]:
    return golden(prompt=None, messages=[{"role": role, "content": content}])


GOLDEN: dict[str, Change] = {
    f"{PATH}.goldenPrompts[].name": (golden(), golden(name="city")),
    f"{PATH}.goldenPrompts[].prompt": (golden(), golden(prompt="Who?")),
    f"{PATH}.goldenPrompts[].messages[].role": (chat(), chat(role="assistant")),
    f"{PATH}.goldenPrompts[].messages[].content": (chat(), chat(content="Who?")),
    f"{PATH}.goldenPrompts[].expected.contains": (golden(), golden(expected={"contains": "Rome"})),
    f"{PATH}.goldenPrompts[].expected.matches": (golden(), golden(expected={"matches": "^R"})),
    f"{PATH}.goldenPrompts[].expected.equals": (golden(), golden(expected={"equals": "Rome"})),
    f"{PATH}.goldenPrompts[].rubric": (golden(), golden(rubric="Is short.")),
    f"{PATH}.goldenPrompts[].maxTokens": (golden(), golden(maxTokens=1)),
    f"{PATH}.goldenPrompts[].temperature": (golden(), golden(temperature=1)),
    f"{PATH}.goldenPrompts[].seed": (golden(), golden(seed=1)),
    f"{PATH}.goldenPrompts[].timeoutSeconds": (golden(), golden(timeoutSeconds=1)),
    f"{PATH}.maxFailedPrompts": (golden(), golden(most=1)),
    f"{PATH}.judge.endpointRef.name": (golden(), golden({"endpointRef": {"name": "other"}})),
    f"{PATH}.judge.apiKeySecretRef.name": (
        golden({"apiKeySecretRef": {"name": "a"}}),
        golden({"apiKeySecretRef": {"name": "b"}}),
    ),
    f"{PATH}.judge.apiKeySecretRef.key": (
        golden({"apiKeySecretRef": {"name": "a"}}),
        golden({"apiKeySecretRef": {"name": "a", "key": "b"}}),
    ),
    f"{PATH}.judge.minScore": (
        golden(expected={"contains": "Rome"}),
        golden({"minScore": 3}, expected={"contains": "Rome"}),
    ),
}


def asked(spec: dict[str, Any]) -> tuple[Any, ...]:
    """What is sent for a spec, and what is made of the answers Rome, Rome with score 5."""
    resource = factories.endpoint(**spec)
    candidate = factories.revision(resource, role=RevisionRole.CANDIDATE)
    run = golden_run(resource, (factories.stored(candidate),), (), (), key="k", encrypted=False)
    analysis = analysis_of(resource)
    assert run is not None
    assert run.judge is not None
    assert analysis is not None
    sent = [(item.path, item.body, item.prompt.timeout_seconds) for item in run.questions]
    judge = run.judge.endpoint_ref.name
    judged = judge_body(run.questions[0].prompt, "Rome", endpoint=judge)
    answers = (Answer(run.questions[0].prompt.name, "Rome", score=5), Answer("right", "Rome"))
    verdict = golden_verdict(analysis, candidate, GoldenReport(run.digest, answers))
    return sent, judged, run.judge.api_key_secret_ref, verdict
