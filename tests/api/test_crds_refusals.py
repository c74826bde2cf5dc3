"""What the API server refuses, and the words that it refuses it with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from puna_cli.errors import CommandError
from tests.cluster import ControlPlane

pytestmark = pytest.mark.api

Node = dict[str, Any]
SHA = "0" * 64


def endpoint(name: str = "chat", **spec: Any) -> Node:
    """Return a valid endpoint; a member that is None is left out."""
    whole = {"model": {"uri": "file:///models/a.gguf"}, "accelerator": "cpu"} | spec
    return {
        "apiVersion": "puna.dev/v1alpha1",
        "kind": "LLMEndpoint",
        "metadata": {"name": name},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def with_pools(*pools: Node, **spec: Any) -> Node:
    return endpoint(**({"accelerator": None, "pools": list(pools)} | spec))


def with_model(**model: Any) -> Node:
    return endpoint(model=model)


def followed(artifact: str = "Q8_0", **members: Any) -> Node:
    return with_model(trainingJobRef={"artifact": artifact} | members)


def evaluated(model: Node | None = None, **limits: Any) -> Node:
    evaluation = {"metric": "perplexity"} | limits
    canary = {"steps": [{"weight": 10}], "analysis": {"evaluation": evaluation}}
    trained = {"trainingJobRef": {"name": "tiny", "artifact": "Q8_0"}}
    return endpoint(model=model or trained, rollout={"strategy": "Canary", "canary": canary})


def preset(name: str = "precise", **spec: Any) -> Node:
    return {
        "apiVersion": "puna.dev/v1alpha1",
        "kind": "Preset",
        "metadata": {"name": name},
        "spec": spec,
    }


def with_canary(*steps: Node, **canary: Any) -> Node:
    return endpoint(rollout={"strategy": "Canary", "canary": {"steps": list(steps)} | canary})


def with_external(**members: Any) -> Node:
    return endpoint(externalEndpoints=[EXTERNAL | members])


EXTERNAL = {"name": "studio", "url": "https://studio.example"}
POOL = {"name": "main", "accelerator": "cpu"}
HTTPS = "https://example.org/a.gguf"

REFUSED = [
    # Which hardware.
    (
        "no-hardware",
        endpoint(accelerator=None),
        "spec.accelerator",
        "set accelerator (one pool) or pools",
    ),
    ("empty-pools", with_pools(), "spec.accelerator", "set accelerator (one pool) or pools"),
    ("both", with_pools(POOL, accelerator="cpu"), "spec.pools", "excludes accelerator"),
    (
        "pools-and-resources",
        with_pools(POOL, resources={"requests": {"cpu": "1"}}),
        "spec.pools",
        "excludes accelerator, acceleratorCount, resources and nodeSelector",
    ),
    ("pools-and-replicas", with_pools(POOL, replicas=2), "spec.replicas", "edit spec.pools[*]"),
    ("same-pool-twice", with_pools(POOL, POOL), "spec.pools[1]", "Duplicate value"),
    (
        "too-many-pools",
        with_pools(*({"name": f"p{index}", "accelerator": "cpu"} for index in range(9))),
        "spec.pools",
        "must have at most 8 items",
    ),
    (
        "pool-name",
        with_pools(POOL | {"name": "Main"}),
        "spec.pools[0].name",
        "should match",
    ),
    (
        "pool-name-too-long",
        with_pools(POOL | {"name": "a-thirteen-ch"}),
        "spec.pools[0].name",
        "may not be more than 12",
    ),
    (
        "pool-without-accelerator",
        with_pools({"name": "main"}),
        "spec.pools[0].accelerator",
        "Required value",
    ),
    (
        "cpu-count",
        endpoint(acceleratorCount=2),
        "spec.acceleratorCount",
        "a cpu pool has none",
    ),
    (
        "cpu-count-in-a-pool",
        with_pools(POOL | {"acceleratorCount": 2}),
        "spec.pools[0].acceleratorCount",
        "a cpu pool has none",
    ),
    ("unknown-accelerator", endpoint(accelerator="tpu"), "spec.accelerator", "Unsupported value"),
    ("replicas-negative", endpoint(replicas=-1), "spec.replicas", "greater than or equal to 0"),
    ("replicas-many", endpoint(replicas=1001), "spec.replicas", "less than or equal to 1000"),
    ("replicas-text", endpoint(replicas="two"), "spec.replicas", "must be of type integer"),
    (
        "quantity",
        endpoint(resources={"requests": {"memory": "lots"}}),
        "spec.resources.requests.memory",
        "should match",
    ),
    (
        "label-value",
        endpoint(nodeSelector={"zone": "not a label"}),
        "spec.nodeSelector.zone",
        "should match",
    ),
    # Which model.
    ("no-model", endpoint(model=None), "spec.model", "Required value"),
    ("no-uri", with_model(sha256=SHA), "spec.model.uri", "Required value"),
    ("https-without-sha", with_model(uri=HTTPS), "spec.model.sha256", "required for http"),
    ("hub-without-sha", with_model(uri="hf://a/b/c.gguf"), "spec.model.sha256", "required for"),
    ("scheme", with_model(uri="ftp://a/b.gguf", sha256=SHA), "spec.model.uri", "should match"),
    ("space", with_model(uri="file:///a b.gguf"), "spec.model.uri", "should match"),
    ("parent", with_model(uri="file:///a/../b.gguf"), "spec.model.uri", "must not contain '..'"),
    ("claim", with_model(uri="pvc://Claim/a.gguf"), "spec.model.uri", "expected pvc://<claim>/"),
    ("claim-without-path", with_model(uri="pvc://claim"), "spec.model.uri", "expected pvc://"),
    ("sha", with_model(uri=HTTPS, sha256="abc"), "spec.model.sha256", "should match"),
    (
        "cache-of-a-file",
        with_model(uri="file:///a.gguf", cache={"persistentVolumeClaim": {"claimName": "models"}}),
        "spec.model.cache",
        "served from where it lies",
    ),
    # Which run of a TrainingJob.
    ("no-run", followed(), "spec.model.trainingJobRef.name", "either name or selector"),
    (
        "two-ways-to-a-run",
        followed(name="tiny", selector={"matchLabels": {"a": "b"}}),
        "spec.model.trainingJobRef.name",
        "either name or selector",
    ),
    (
        "every-run",
        followed(selector={}),
        "spec.model.trainingJobRef.selector.matchLabels",
        "an empty selector would take every TrainingJob",
    ),
    (
        "label-without-values",
        followed(selector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
        "spec.model.trainingJobRef.selector.matchExpressions[0].values",
        "In and NotIn need values",
    ),
    (
        "no-gguf",
        followed(name="tiny", artifact="safetensors"),
        "spec.model.trainingJobRef.artifact",
        "llama-server reads GGUF",
    ),
    (
        "run-and-uri",
        with_model(uri=HTTPS, sha256=SHA, trainingJobRef={"name": "tiny", "artifact": "Q8_0"}),
        "spec.model.trainingJobRef",
        "says where the file lies by itself",
    ),
    # What a run has to have measured.
    ("no-limit", evaluated(), "analysis.evaluation.metric", "set a limit"),
    (
        "less-is-better",
        evaluated(metric="perplexity", atLeast=0.5),
        "analysis.evaluation.atLeast",
        "less is better; set atMost",
    ),
    (
        "more-is-better",
        evaluated(metric="questions_right", atMost=0.5),
        "analysis.evaluation.atMost",
        "more is better; set atLeast",
    ),
    (
        "no-scores",
        evaluated(model={"uri": "file:///models/a.gguf"}, atMost=20),
        "analysis.evaluation",
        "set spec.model.trainingJobRef",
    ),
    # Which presets.
    (
        "too-many-presets",
        endpoint(presets=[f"p{index}" for index in range(17)]),
        "spec.presets",
        "must have at most 16 items",
    ),
    ("same-preset-twice", endpoint(presets=["a", "a"]), "spec.presets[1]", "Duplicate value"),
    ("strategy", endpoint(rollout={"strategy": "Now"}), "spec.rollout.strategy", "Unsupported"),
    # How a canary takes over.
    (
        "canary-without-steps",
        endpoint(rollout={"strategy": "Canary"}),
        "spec.rollout.canary",
        "required for strategy Canary",
    ),
    (
        "steps-of-a-surge",
        endpoint(rollout={"canary": {"steps": [{"weight": 10}]}}),
        "spec.rollout.canary",
        "is for strategy Canary alone",
    ),
    (
        "copies-of-a-surge",
        endpoint(rollout={"shadow": {"percent": 5}}),
        "spec.rollout.shadow",
        "is for strategy Canary alone",
    ),
    (
        "no-copies-at-all",
        endpoint(
            rollout={
                "strategy": "Canary",
                "canary": {"steps": [{"weight": 10}]},
                "shadow": {"percent": 0},
            }
        ),
        "spec.rollout.shadow.percent",
        "should be greater than or equal to 1",
    ),
    ("no-steps", with_canary(), "spec.rollout.canary.steps", "at least 1 items"),
    (
        "too-many-steps",
        with_canary(*({"weight": 1, "holdSeconds": 1},) * 11),
        "spec.rollout.canary.steps",
        "must have at most 10 items",
    ),
    (
        "falling-weights",
        with_canary({"weight": 50, "holdSeconds": 1}, {"weight": 10}),
        "spec.rollout.canary.steps",
        "weights must not fall",
    ),
    (
        "a-step-that-ends-the-canary",
        with_canary({"weight": 10}, {"weight": 50, "holdSeconds": 1}),
        "spec.rollout.canary.steps",
        "only the last step may wait for promotion",
    ),
    (
        "two-steps-that-wait",
        with_canary({"weight": 10}, {"weight": 50}),
        "spec.rollout.canary.steps",
        "only the last step may wait for promotion",
    ),
    (
        "weight",
        with_canary({"weight": 101}),
        "spec.rollout.canary.steps[0].weight",
        "less than or equal to 100",
    ),
    (
        "no-weight",
        with_canary({"holdSeconds": 1}),
        "spec.rollout.canary.steps[0].weight",
        "Required value",
    ),
    (
        "no-hold",
        with_canary({"weight": 1, "holdSeconds": 0}),
        "spec.rollout.canary.steps[0].holdSeconds",
        "greater than or equal to 1",
    ),
    (
        "stickiness",
        with_canary({"weight": 1}, stickiness="Cookie"),
        "spec.rollout.canary.stickiness",
        'supported values: "None", "Key"',
    ),
    (
        "stickiness-without-keys",
        with_canary({"weight": 1}, stickiness="Key"),
        "spec.rollout.canary.stickiness",
        "Key needs spec.access",
    ),
    *(
        (
            f"analysis-{member}-{value}",
            with_canary({"weight": 1}, analysis={member: value}),
            f"spec.rollout.canary.analysis.{member}",
            message,
        )
        for member, value, message in (
            ("minRequests", 5, "0 (requests are not judged) or at least 10"),
            ("maxErrorPercent", 0, "greater than or equal to 1"),
            ("maxErrorPercent", 101, "less than or equal to 100"),
            ("maxLatencyPercent", 100, "greater than 100"),
            ("maxTTFTPercent", 90, "greater than 100"),
            ("minTokensPerSecondPercent", 100, "less than 100"),
            ("deadlineSeconds", 0, "greater than or equal to 1"),
        )
    ),
    (
        "analysis-of-a-first-step-with-everything",
        with_canary({"weight": 100, "holdSeconds": 60}, analysis={}),
        "spec.rollout.canary.steps",
        "no requests that the new one could be compared with",
    ),
    # How requests are routed.
    (
        "routing-strategy",
        endpoint(routing={"strategy": "Random"}),
        "spec.routing.strategy",
        '"PrefixAffinity", "LeastBusy", "RoundRobin"',
    ),
    (
        "queue-depth",
        endpoint(routing={"queue": {"maxDepth": -1}}),
        "spec.routing.queue.maxDepth",
        "greater than or equal to 0",
    ),
    (
        "queue-timeout",
        endpoint(routing={"queue": {"timeoutSeconds": 601}}),
        "spec.routing.queue.timeoutSeconds",
        "less than or equal to 600",
    ),
    (
        "retries",
        endpoint(routing={"retries": 6}),
        "spec.routing.retries",
        "less than or equal to 5",
    ),
    # Servers outside the cluster.
    (
        "external-url",
        with_external(url="ftp://studio.example"),
        "spec.externalEndpoints[0].url",
        "should match",
    ),
    (
        "external-url-with-a-path",
        with_external(url="https://studio.example/v1"),
        "spec.externalEndpoints[0].url",
        "should match",
    ),
    (
        "external-url-with-credentials",
        with_external(url="https://user@studio.example"),
        "spec.externalEndpoints[0].url",
        "should match",
    ),
    (
        "authority-without-tls",
        with_external(url="http://studio.example", caSecretRef={"name": "ca"}),
        "spec.externalEndpoints[0].caSecretRef",
        "is for https alone",
    ),
    (
        "priority",
        with_external(priority=2),
        "spec.externalEndpoints[0].priority",
        "less than or equal to 1",
    ),
    (
        "same-external-twice",
        endpoint(externalEndpoints=[EXTERNAL, EXTERNAL]),
        "spec.externalEndpoints[1]",
        "Duplicate value",
    ),
    # Names.
    (
        "name-too-long",
        endpoint(name="a" * 41),
        "metadata.name: Invalid",
        "children are named after",
    ),
    (
        "name-with-a-dot",
        endpoint(name="chat.small"),
        "metadata.name: Invalid",
        "children are named",
    ),
    (
        "name-with-a-digit",
        endpoint(name="1chat"),
        "metadata.name: Invalid",
        "children are named after",
    ),
    (
        "name-of-the-router",
        endpoint(name="puna-router"),
        "metadata.name: Invalid",
        "is the namespace's router",
    ),
    ("preset-name", preset(name="a.b"), "metadata.name: Invalid", "a Preset is asked for as"),
    # Presets.
    (
        "quantized-values",
        preset(server={"flashAttention": "off", "cacheTypeV": "q8_0"}),
        "spec.server.cacheTypeV",
        "needs flashAttention auto or on",
    ),
    (
        "pooling-of-a-chat",
        preset(server={"pooling": "mean"}),
        "spec.server.pooling",
        "is for mode Embedding alone",
    ),
    (
        "mode",
        preset(server={"mode": "Completion"}),
        "spec.server.mode",
        'supported values: "Chat", "Embedding", "Rerank"',
    ),
    (
        "temperature",
        preset(sampling={"temperature": 11}),
        "spec.sampling.temperature",
        "less than or equal to 10",
    ),
    ("top-p", preset(sampling={"topP": 1.01}), "spec.sampling.topP", "less than or equal to 1"),
    ("slots", preset(server={"slots": 0}), "spec.server.slots", "greater than or equal to 1"),
    (
        "precedence",
        preset(precedence="Always"),
        "spec.precedence",
        'supported values: "Default", "Forced"',
    ),
    ("too-many-stops", preset(sampling={"stop": ["x"] * 17}), "spec.sampling.stop", "at most 16"),
    (
        "rope-without-factor",
        preset(server={"ropeScaling": {"type": "yarn"}}),
        "spec.server.ropeScaling.factor",
        "Required value",
    ),
    (
        "no-keys-named",
        endpoint(access={"rateLimit": {"burst": 3}}),
        "spec.access.apiKeySecretRef",
        "Required value",
    ),
    (
        "backend-key-as-keys",
        endpoint(access={"apiKeySecretRef": {"name": "puna-backend-key"}}),
        "spec.access.apiKeySecretRef.name",
        "name a Secret that holds API keys",
    ),
    (
        "no-requests",
        endpoint(access={"apiKeySecretRef": {"name": "a"}, "rateLimit": {"requestsPerMinute": 0}}),
        "spec.access.rateLimit.requestsPerMinute",
        "greater than or equal to 1",
    ),
    ("typo", preset(sampling={"temprature": 1}), "spec.sampling.temprature", "unknown field"),
]


@pytest.mark.parametrize(
    ("resource", "field", "message"),
    [pytest.param(*row[1:], id=row[0]) for row in REFUSED],
)
def test_a_bad_resource_is_refused(
    crds: ControlPlane, resource: Node, field: str, message: str
) -> None:
    with pytest.raises(CommandError) as refusal:
        crds.kubectl(
            "create", "--dry-run=server", "--validate=strict", "-f", "-", text=json.dumps(resource)
        )
    assert message in str(refusal.value)
    assert field in str(refusal.value)


def test_scaling_an_endpoint_with_pools_names_the_field_to_edit(
    crds: ControlPlane, namespace: str
) -> None:
    crds.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(with_pools(POOL)))
    with pytest.raises(CommandError, match=r"edit spec\.pools\[\*\]\.replicas instead"):
        crds.kubectl("scale", "-n", namespace, "llmendpoint/chat", "--replicas=3")


def test_an_endpoint_with_one_pool_is_scaled(crds: ControlPlane, namespace: str) -> None:
    crds.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(endpoint()))
    for replicas in (3, 0):
        crds.kubectl("scale", "-n", namespace, "llme/chat", f"--replicas={replicas}")
        answer = crds.kubectl(
            "get", "-n", namespace, "llme/chat", "-o", "jsonpath={.spec.replicas}"
        )
        assert answer == str(replicas)
