"""Every field of a spec changes what is made, or is refused: nothing is accepted and ignored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from puna.api.model_source import TrainingJobReference
from puna.api.preset import Preset
from puna.api.trainingjob import TrainingJob
from puna.core.plan import Manifest
from puna.endpoint.follow import follows
from puna.endpoint.plan import plan
from tests.factories import HTTPS_MODEL, NOW, endpoint, observed, preset, presets, settings
from tests.fake_cluster import FakeCluster
from tests.trainings import complete_job
from tests.unit.api.field_paths import FIELD_PATHS
from tests.unit.endpoint.golden_fields import GOLDEN, asked
from tests.unit.endpoint.test_judge import served

Change = tuple[dict[str, Any], dict[str, Any]]
POOL: dict[str, Any] = {"name": "a", "accelerator": "cuda", "replicas": 2}
CACHE = {"persistentVolumeClaim": {"claimName": "models"}}


def model(**members: Any) -> dict[str, Any]:
    return {"model": HTTPS_MODEL | members}


def pool(**members: Any) -> dict[str, Any]:
    return {"accelerator": None, "pools": [POOL | members]}


def access(**members: Any) -> dict[str, Any]:
    return {"access": {"apiKeySecretRef": {"name": "a"}} | members}


def trained(name: str = "tiny", artifact: str = "Q8_0") -> dict[str, Any]:
    return {"model": {"trainingJobRef": {"name": name, "artifact": artifact}}}


def selected(**selector: Any) -> dict[str, Any]:
    return {"model": {"trainingJobRef": {"selector": selector, "artifact": "Q8_0"}}}


def required(key: str, operator: str, *values: str) -> dict[str, Any]:
    return selected(matchExpressions=[{"key": key, "operator": operator, "values": values}])


def external(**members: Any) -> dict[str, Any]:
    return {"externalEndpoints": [{"name": "studio", "url": "https://studio.example"} | members]}


def routing(**members: Any) -> dict[str, Any]:
    return {"routing": members}


def canary(**members: Any) -> dict[str, Any]:
    steps = {"steps": [{"weight": 10}]}
    return {"replicas": 3, "rollout": {"strategy": "Canary", "canary": steps | members}}


def evaluated(metric: str = "perplexity", **limits: Any) -> dict[str, Any]:
    return trained() | canary(
        analysis={"minRequests": 0, "evaluation": {"metric": metric} | limits}
    )


def shadow(percent: int) -> dict[str, Any]:
    given = canary()
    return given | {"rollout": given["rollout"] | {"shadow": {"percent": percent}}}


def analysis(**members: Any) -> dict[str, Any]:
    steps = [{"weight": 10, "holdSeconds": 1}, {"weight": 50}]
    return canary(steps=steps, analysis=members)


ENDPOINT: dict[str, Change] = {
    "spec.model.uri": ({}, model(uri="https://models.example/other.gguf")),
    "spec.model.sha256": ({}, model(sha256="6" * 64)),
    "spec.model.credentialsSecretRef.name": (
        model(credentialsSecretRef={"name": "a"}),
        model(credentialsSecretRef={"name": "b"}),
    ),
    "spec.model.caSecretRef.name": (
        model(caSecretRef={"name": "a"}),
        model(caSecretRef={"name": "b"}),
    ),
    "spec.model.cache.persistentVolumeClaim.claimName": ({}, model(cache=CACHE)),
    "spec.model.trainingJobRef.name": (trained(), trained(name="other")),
    "spec.model.trainingJobRef.artifact": (trained(), trained(artifact="F16")),
    "spec.model.trainingJobRef.selector.matchLabels": (
        selected(matchLabels={"team": "a"}),
        selected(matchLabels={"team": "b"}),
    ),
    "spec.model.trainingJobRef.selector.matchExpressions[].key": (
        required("team", "Exists"),
        required("purpose", "Exists"),
    ),
    "spec.model.trainingJobRef.selector.matchExpressions[].operator": (
        required("team", "Exists"),
        required("team", "DoesNotExist"),
    ),
    "spec.model.trainingJobRef.selector.matchExpressions[].values": (
        required("team", "In", "a"),
        required("team", "In", "b"),
    ),
    "spec.presetRef.name": ({}, {"presetRef": {"name": "balanced"}}),
    "spec.presets": ({}, {"presets": ["balanced"]}),
    "spec.accelerator": ({}, {"accelerator": "metal"}),
    "spec.replicas": ({}, {"replicas": 2}),
    "spec.acceleratorCount": (
        {"accelerator": "cuda"},
        {"accelerator": "cuda", "acceleratorCount": 2},
    ),
    "spec.resources.requests": ({}, {"resources": {"requests": {"cpu": "1"}}}),
    "spec.resources.limits": ({}, {"resources": {"limits": {"cpu": "1"}}}),
    "spec.nodeSelector": ({}, {"nodeSelector": {"zone": "a"}}),
    "spec.pools[].name": (pool(), pool(name="b")),
    "spec.pools[].accelerator": (pool(), pool(accelerator="metal")),
    "spec.pools[].replicas": (pool(), pool(replicas=3)),
    "spec.pools[].acceleratorCount": (pool(), pool(acceleratorCount=2)),
    "spec.pools[].resources.requests": (pool(), pool(resources={"requests": {"cpu": "1"}})),
    "spec.pools[].resources.limits": (pool(), pool(resources={"limits": {"cpu": "1"}})),
    "spec.pools[].nodeSelector": (pool(), pool(nodeSelector={"zone": "a"})),
    "spec.externalEndpoints[].name": (external(), external(name="other")),
    "spec.externalEndpoints[].url": (external(), external(url="https://other.example")),
    "spec.externalEndpoints[].apiKeySecretRef.name": (
        external(apiKeySecretRef={"name": "a"}),
        external(apiKeySecretRef={"name": "b"}),
    ),
    "spec.externalEndpoints[].apiKeySecretRef.key": (
        external(apiKeySecretRef={"name": "a"}),
        external(apiKeySecretRef={"name": "a", "key": "b"}),
    ),
    "spec.externalEndpoints[].caSecretRef.name": (
        external(caSecretRef={"name": "a"}),
        external(caSecretRef={"name": "b"}),
    ),
    "spec.externalEndpoints[].slots": (external(), external(slots=2)),
    "spec.externalEndpoints[].priority": (external(), external(priority=1)),
    "spec.routing.strategy": ({}, routing(strategy="RoundRobin")),
    "spec.routing.queue.maxDepth": ({}, routing(queue={"maxDepth": 0})),
    "spec.routing.queue.timeoutSeconds": ({}, routing(queue={"timeoutSeconds": 1})),
    "spec.routing.healthCheck.intervalSeconds": ({}, routing(healthCheck={"intervalSeconds": 1})),
    "spec.routing.healthCheck.failureThreshold": (
        {},
        routing(healthCheck={"failureThreshold": 1}),
    ),
    "spec.routing.retries": ({}, routing(retries=0)),
    "spec.routing.idleTimeoutSeconds": ({}, routing(idleTimeoutSeconds=60)),
    "spec.routing.keepAliveSeconds": ({}, routing(keepAliveSeconds=1)),
    "spec.rollout.strategy": ({}, {"rollout": {"strategy": "Replace"}}),
    "spec.access.apiKeySecretRef.name": (access(), access(apiKeySecretRef={"name": "b"})),
    "spec.access.rateLimit.requestsPerMinute": (
        access(),
        access(rateLimit={"requestsPerMinute": 60}),
    ),
    "spec.access.rateLimit.burst": (access(), access(rateLimit={"burst": 3})),
    "spec.rollout.canary.stickiness": (canary(), canary(stickiness="Key")),
}
CANARY: dict[str, Change] = {
    "spec.rollout.canary.steps[].weight": (canary(), canary(steps=[{"weight": 20}])),
    "spec.rollout.canary.steps[].holdSeconds": (
        canary(),
        canary(steps=[{"weight": 10, "holdSeconds": 1}]),
    ),
    "spec.rollout.canary.replicas": (canary(), canary(replicas=2)),
    "spec.rollout.shadow.percent": (shadow(5), shadow(6)),
}
"""Fields that act on a changed model alone."""
EVALUATION: dict[str, Change] = {
    "spec.rollout.canary.analysis.evaluation.metric": (
        evaluated(maxRegressionPercent=5),
        evaluated("questions_right", maxRegressionPercent=5),
    ),
    "spec.rollout.canary.analysis.evaluation.atMost": (
        evaluated(atMost=20),
        evaluated(atMost=10),
    ),
    "spec.rollout.canary.analysis.evaluation.atLeast": (
        evaluated("questions_right", atLeast=0.4),
        evaluated("questions_right", atLeast=0.6),
    ),
    "spec.rollout.canary.analysis.evaluation.maxRegressionPercent": (
        evaluated(maxRegressionPercent=5),
        evaluated(maxRegressionPercent=50),
    ),
}
"""Fields that act on a model that a newer run made."""
ANALYSIS: dict[str, Change] = {
    "spec.rollout.canary.analysis.minRequests": (analysis(), analysis(minRequests=500)),
    "spec.rollout.canary.analysis.maxErrorPercent": (analysis(), analysis(maxErrorPercent=20)),
    "spec.rollout.canary.analysis.maxLatencyPercent": (analysis(), analysis(maxLatencyPercent=200)),
    "spec.rollout.canary.analysis.maxTTFTPercent": (analysis(), analysis(maxTTFTPercent=200)),
    "spec.rollout.canary.analysis.minTokensPerSecondPercent": (
        analysis(),
        analysis(minTokensPerSecondPercent=90),
    ),
    "spec.rollout.canary.analysis.deadlineSeconds": (analysis(), analysis(deadlineSeconds=1)),
}
"""Fields that act on what was measured of a canary."""
HISTORY: dict[str, Change] = {
    "spec.revisionHistoryLimit": ({"revisionHistoryLimit": 1}, {"revisionHistoryLimit": 0}),
}
"""Fields that act on what was served before."""
PRESET: dict[str, Change] = {
    "spec.sampling.temperature": ({}, {"sampling": {"temperature": 0}}),
    "spec.sampling.topK": ({}, {"sampling": {"topK": 0}}),
    "spec.sampling.topP": ({}, {"sampling": {"topP": 1}}),
    "spec.sampling.minP": ({}, {"sampling": {"minP": 0}}),
    "spec.sampling.repeatPenalty": ({}, {"sampling": {"repeatPenalty": 1}}),
    "spec.sampling.maxTokens": ({}, {"sampling": {"maxTokens": 1}}),
    "spec.sampling.stop": ({}, {"sampling": {"stop": ["END"]}}),
    "spec.sampling.seed": ({}, {"sampling": {"seed": 0}}),
    "spec.precedence": (
        {"sampling": {"seed": 0}},
        {"sampling": {"seed": 0}, "precedence": "Forced"},
    ),
    "spec.server.mode": ({}, {"server": {"mode": "Embedding"}}),
    "spec.server.pooling": (
        {"server": {"mode": "Embedding"}},
        {"server": {"mode": "Embedding", "pooling": "mean"}},
    ),
    "spec.server.threads": ({}, {"server": {"threads": 2}}),
    "spec.server.contextLength": ({}, {"server": {"contextLength": 64}}),
    "spec.server.slots": ({}, {"server": {"slots": 2}}),
    "spec.server.batchSize": ({}, {"server": {"batchSize": 64}}),
    "spec.server.cacheTypeK": ({}, {"server": {"cacheTypeK": "q8_0"}}),
    "spec.server.cacheTypeV": ({}, {"server": {"cacheTypeV": "q8_0"}}),
    "spec.server.flashAttention": ({}, {"server": {"flashAttention": "off"}}),
    "spec.server.cacheReuse": ({}, {"server": {"cacheReuse": 64}}),
    "spec.server.promptCacheMemory": ({}, {"server": {"promptCacheMemory": "64Mi"}}),
    "spec.server.ropeScaling.type": (
        {"server": {"ropeScaling": {"type": "yarn", "factor": 2}}},
        {"server": {"ropeScaling": {"type": "linear", "factor": 2}}},
    ),
    "spec.server.ropeScaling.factor": (
        {"server": {"ropeScaling": {"type": "yarn", "factor": 2}}},
        {"server": {"ropeScaling": {"type": "yarn", "factor": 3}}},
    ),
    "spec.prompt.system": ({}, {"prompt": {"system": "Be brief."}}),
    "spec.prompt.chatTemplate": ({}, {"prompt": {"chatTemplate": "x"}}),
}


def leaves(kind: str) -> set[str]:
    paths = {path for path in FIELD_PATHS[kind] if path.startswith("spec.")}
    return {
        path
        for path in paths
        if not any(other.startswith((f"{path}.", f"{path}[]")) for other in paths)
    }


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("LLMEndpoint", ENDPOINT | CANARY | EVALUATION | GOLDEN | ANALYSIS | HISTORY),
        ("Preset", PRESET),
    ],
)
def test_every_field_is_tried(kind: str, changes: dict[str, Change]) -> None:
    assert set(changes) == leaves(kind)


@pytest.mark.parametrize(("before", "after"), ENDPOINT.values(), ids=ENDPOINT)
def test_a_field_of_an_endpoint_changes_a_child(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert made_of(before) != made_of(after)


@pytest.mark.parametrize(("before", "after"), CANARY.values(), ids=CANARY)
def test_a_field_of_a_canary_changes_how_a_model_takes_over(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert rolled_out(before) != rolled_out(after)


@pytest.mark.parametrize(("before", "after"), EVALUATION.values(), ids=EVALUATION)
def test_a_field_of_an_evaluation_decides_whether_a_newer_run_takes_over(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert followed_by_a_worse_run(before) != followed_by_a_worse_run(after)


@pytest.mark.parametrize(("before", "after"), GOLDEN.values(), ids=GOLDEN)
def test_a_field_of_golden_prompts_changes_what_is_asked_or_said(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert asked(before) != asked(after)


@pytest.mark.parametrize(("before", "after"), ANALYSIS.values(), ids=ANALYSIS)
def test_a_field_of_an_analysis_changes_what_is_said_of_a_canary(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert conditions(before) != conditions(after)


@pytest.mark.parametrize(("before", "after"), HISTORY.values(), ids=HISTORY)
def test_a_field_of_the_history_changes_what_is_kept(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert rolled_out(before) != rolled_out(after)


@pytest.mark.parametrize(("before", "after"), PRESET.values(), ids=PRESET)
def test_a_field_of_a_preset_changes_more_than_the_stored_revision(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    spec = {"presetRef": {"name": "balanced"}}
    one, other = (made_of(spec, preset(**members)) for members in (before, after))
    assert [effects(child) for child in one] != [effects(child) for child in other]


def made_of(spec: dict[str, Any], own: Preset | None = None) -> tuple[Manifest, ...]:
    resource = endpoint(**({"model": HTTPS_MODEL} | spec))
    seen = observed(
        presets=presets(own or preset()),
        claims={"models": {}, "runs": {}},
        jobs=jobs(resource.spec.model.training_job_ref),
    )
    made = plan(resource, seen, settings(), NOW)
    assert made.children is not None, made.status.conditions
    return made.children


def jobs(ref: TrainingJobReference | None) -> tuple[TrainingJob, ...]:
    """Those runs that a reference means, of a namespace with some."""
    if ref is None:
        return ()
    kinds = zip("tuv", ({"team": "a"}, {"team": "b"}, {"purpose": "chat"}), strict=True)
    there = [
        complete_job(name, digest=str(number), labels=labels, artifact=ref.artifact)
        for number, (name, labels) in enumerate((("tiny", {}), ("other", {}), *kinds))
    ]
    return tuple(job for job in there if follows(ref, job.metadata.to_dict()))


def rolled_out(spec: dict[str, Any]) -> tuple[tuple[Manifest, ...] | None, timedelta | None]:
    """Children and the next look while a changed model is rolled out."""
    cluster = FakeCluster(endpoint(model=HTTPS_MODEL, **spec))
    cluster.settle()
    cluster.edit(model=HTTPS_MODEL | {"sha256": "6" * 64})
    cluster.settle()
    made = cluster.plan()
    return made.children, made.requeue_after


def followed_by_a_worse_run(spec: dict[str, Any]) -> dict[str, int]:
    """Shares of the requests once a run with a worse perplexity is complete."""
    cluster = FakeCluster(endpoint(**spec), claims={"runs": {}})
    for number, perplexity in enumerate((12.5, 14)):
        scores = {"perplexity": perplexity, "questions_right": 0.5}
        cluster.jobs = {"tiny": complete_job(digest=str(number), number=number, scores=scores)}
        cluster.settle()
    return cluster.weights()


def conditions(spec: dict[str, Any]) -> tuple[Any, ...]:
    """What is said of a canary after a hold, with requests of which a few fail and are slow."""
    cluster = FakeCluster(endpoint(model=HTTPS_MODEL, **spec))
    cluster.settle()
    stable = cluster.endpoint.status.stable_revision or ""
    cluster.count({stable: served(9)})
    cluster.edit(model=HTTPS_MODEL | {"sha256": "6" * 64})
    cluster.settle()
    canary = cluster.endpoint.status.canary
    assert canary is not None
    late = served(60, 1, milliseconds=1200, per_second=40)
    cluster.count({stable: served(500), canary.revision: late})
    cluster.now += timedelta(seconds=60)
    cluster.reconcile()
    status = cluster.endpoint.status
    return status.canary, [(item.reason, item.message) for item in status.conditions]


def effects(child: Manifest) -> Manifest:
    """What a child does, without the names that follow from hashes."""
    document = str(child.get("data", "")) if child["kind"] == "ConfigMap" else ""
    spec = child.get("spec", {}).get("template", {}).get("spec", {})
    containers = spec.get("containers", [])
    presets_of_document = document.partition('"preset":')[2]
    return {"preset": presets_of_document, "args": [item["args"] for item in containers]}
