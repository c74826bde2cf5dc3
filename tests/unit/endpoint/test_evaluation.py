from __future__ import annotations

from typing import Any

import pytest

from puna.api.analysis import Result
from puna.api.evaluation import EvaluationLimits, EvaluationMetric
from puna.api.lineage import ModelLineage
from puna.api.llmendpoint_status import Outcome
from puna.api.reasons import EventReason, Reason
from puna.core.plan import Manifest
from puna.endpoint.evaluation import evaluation_verdict
from tests.factories import CREATED, endpoint
from tests.fake_cluster import FakeCluster
from tests.trainings import complete_job

CLAIMS: dict[str, Manifest] = {"runs": {}}


def model(job: str = "tiny-2", *, tokenizer: str = "e", **scores: float) -> ModelLineage:
    return ModelLineage(
        job=job,
        uid=job,
        created_at=CREATED,
        seed=0,
        tokenizer_hash=tokenizer * 64,
        scores=scores,
        sha256="a" * 64,
    )


def limits(metric: str = "perplexity", **members: Any) -> EvaluationLimits:
    return EvaluationLimits(metric=EvaluationMetric(metric), **members)


STABLE = model("tiny-1", perplexity=12.5, questions_right=0.8)


@pytest.mark.parametrize(
    ("asked", "wanted", "result", "message"),
    [
        (
            limits(at_most=15),
            model(perplexity=14.2),
            Result.PASS,
            "perplexity 14.2 of TrainingJob tiny-2 is at most 15",
        ),
        (
            limits(at_most=14),
            model(perplexity=14.2),
            Result.FAIL,
            "perplexity 14.2 of TrainingJob tiny-2 is above 14",
        ),
        (
            limits(max_regression_percent=5),
            model(perplexity=13.125),
            Result.PASS,
            (
                "perplexity 13.125 of TrainingJob tiny-2 is at most 13.12 "
                "(12.5 of TrainingJob tiny-1 +5%)"
            ),
        ),
        (
            limits(max_regression_percent=5, at_most=20),
            model(perplexity=14.2),
            Result.FAIL,
            (
                "perplexity 14.2 of TrainingJob tiny-2 is at most 20 and above 13.12 (12.5 of "
                "TrainingJob tiny-1 +5%)"
            ),
        ),
        (
            limits("questions_right", at_least=0.7),
            model(questions_right=0.75),
            Result.PASS,
            "questions_right 0.75 of TrainingJob tiny-2 is at least 0.7",
        ),
        (
            limits("questions_right", max_regression_percent=5),
            model(questions_right=0.75),
            Result.FAIL,
            (
                "questions_right 0.75 of TrainingJob tiny-2 is below 0.76 "
                "(0.8 of TrainingJob tiny-1 -5%)"
            ),
        ),
        (
            limits("questions_right", max_regression_percent=0),
            model(questions_right=0.8),
            Result.PASS,
            (
                "questions_right 0.8 of TrainingJob tiny-2 is at least 0.8 "
                "(0.8 of TrainingJob tiny-1 +0%)"
            ),
        ),
    ],
)
def test_a_score_is_held_against_its_limits(
    asked: EvaluationLimits, wanted: ModelLineage, result: Result, message: str
) -> None:
    verdict = evaluation_verdict(asked, wanted, STABLE)
    assert (verdict.name, verdict.result, verdict.message) == ("Evaluation", result, message)


@pytest.mark.parametrize(
    ("asked", "wanted", "stable", "message"),
    [
        (
            limits("bits_per_byte", at_most=2),
            model(perplexity=14.2),
            STABLE,
            "TrainingJob tiny-2 of the new revision measured no bits_per_byte (it has: perplexity)",
        ),
        (
            limits(at_most=20),
            None,
            STABLE,
            "the new revision comes from no TrainingJob that is known",
        ),
        (
            limits(max_regression_percent=5, at_most=20),
            model(perplexity=14.2),
            None,
            (
                "the stable revision comes from no TrainingJob that is known, so "
                "maxRegressionPercent has nothing to compare with"
            ),
        ),
        (
            limits(max_regression_percent=5),
            model(perplexity=14.2, tokenizer="f"),
            STABLE,
            (
                "TrainingJobs tiny-2 and tiny-1 have different tokenizers, whose perplexities say "
                "nothing of each other; bits_per_byte can be compared"
            ),
        ),
    ],
)
def test_what_was_not_measured_is_an_error_and_no_score(
    asked: EvaluationLimits, wanted: ModelLineage | None, stable: ModelLineage | None, message: str
) -> None:
    verdict = evaluation_verdict(asked, wanted, stable)
    assert (verdict.result, verdict.message) == (Result.ERROR, message)


def serving(**analysis: Any) -> FakeCluster:
    """An endpoint that serves run 1 with a perplexity of 12.5, and gates those that follow."""
    steps = [{"weight": 10, "holdSeconds": 60}]
    evaluation = {"metric": "perplexity"} | analysis
    canary = {"steps": steps, "analysis": {"minRequests": 0} | {"evaluation": evaluation}}
    cluster = FakeCluster(
        endpoint(
            model={"trainingJobRef": {"name": "tiny", "artifact": "Q8_0"}},
            rollout={"strategy": "Canary", "canary": canary},
        ),
        claims=CLAIMS,
    )
    cluster.jobs = {"1": complete_job(scores={"perplexity": 12.5})}
    cluster.live_through()
    return cluster


def newer(cluster: FakeCluster, perplexity: float, number: int = 2) -> None:
    digest = "0abcdef"[number]
    scores = {"perplexity": perplexity}
    cluster.jobs = {"2": complete_job(digest=digest, number=number, scores=scores)}
    cluster.live_through()


def test_a_model_that_is_good_enough_takes_over_by_itself() -> None:
    cluster = serving(maxRegressionPercent=5)
    before = cluster.endpoint.status.stable_revision
    newer(cluster, 13)
    assert cluster.endpoint.status.stable_revision != before
    assert cluster.condition("Ready")[0] == "True"


def test_a_worse_model_starts_no_server_gets_no_request_and_is_told_with_the_arithmetic() -> None:
    cluster = serving(maxRegressionPercent=5)
    before, pods = cluster.endpoint.status.stable_revision, dict(cluster.pods)
    newer(cluster, 14.2)
    assert (cluster.endpoint.status.stable_revision, cluster.pods) == (before, pods)
    assert cluster.weights() == {before: 100}
    outcomes = {item.name: item.outcome for item in cluster.endpoint.status.revisions}
    assert Outcome.FAILED in outcomes.values()
    assert cluster.condition("Progressing") == ("False", Reason.CANARY_FAILED)
    (message,) = (
        item.message for item in cluster.endpoint.status.conditions if item.type == "Progressing"
    )
    assert "above 13.12 (12.5 of TrainingJob tiny +5%)" in message


def test_a_failure_is_told_once_and_a_better_run_after_it_is_taken() -> None:
    cluster = serving(maxRegressionPercent=5)
    cluster.jobs = {"2": complete_job(digest="b", number=2, scores={"perplexity": 14.2})}
    events = [event.reason for _ in range(5) for event in cluster.reconcile().events]
    assert events.count(EventReason.CANARY_FAILED) == 1
    newer(cluster, 12, number=3)
    (stable,) = (
        item
        for item in cluster.endpoint.status.revisions
        if item.name == cluster.endpoint.status.stable_revision
    )
    assert stable.lineage is not None
    assert stable.lineage.uid == "uid-tiny-3"


def test_without_a_score_a_model_waits_for_people() -> None:
    cluster = serving(atMost=20)
    cluster.jobs = {"2": complete_job(digest="b", number=2, scores={"bits_per_byte": 2})}
    cluster.settle()
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert canary.verdict is not None
    assert (canary.weight, canary.verdict.result) == (0, Result.ERROR)
    assert cluster.condition("Progressing") == ("False", Reason.CANARY_PAUSED)
    cluster.annotate(promote=canary.revision)
    cluster.live_through()
    assert cluster.endpoint.status.stable_revision == canary.revision
