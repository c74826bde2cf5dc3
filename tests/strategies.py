"""Hypothesis strategies: specs, presets, observations and the events of a rollout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.core.plan import Manifest, ObjectKey
from puna.endpoint.effective import resolve
from puna.endpoint.observed import ObservedEndpoint
from puna.settings import Settings
from puna_fetch.config import FetchStage, Progress
from puna_router.config import EndpointPhase
from tests import factories
from tests.fake_cluster import FakeCluster

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name != "puna-router"
)
POOL_NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
SEGMENTS = st.text("abcXYZ019-_. ()$%äé", min_size=1, max_size=12).map(
    lambda text: text.replace(" ", "%20").replace("%ä", "ä")
)
CLAIMS = st.sampled_from(["models", "claim-2"])
ACCELERATORS = st.sampled_from(["cpu", "metal", "cuda"])


@st.composite
def model_sources(draw: st.DrawFn) -> dict[str, Any]:
    """Members of a model that passes the CRD's rules."""
    path = "/".join(draw(st.lists(st.sampled_from(["m", "a b.gguf", "q$(X).gguf"]), min_size=1)))
    path = path.replace(" ", "%20")
    uri = draw(
        st.sampled_from(
            [
                f"file://{factories.MODEL_FOLDER}/{path}",
                f"pvc://claim-2/{path}",
                f"https://models.example/{path}",
                f"http://models.example/{path}?download=true",
                f"hf://org/repo/{path}@main",
            ]
        )
    )
    remote = uri.startswith(("http", "hf"))
    source: dict[str, Any] = {"uri": uri}
    if remote or draw(st.booleans()):
        source["sha256"] = draw(DIGESTS)
    if remote and draw(st.booleans()):
        source["cache"] = {"persistentVolumeClaim": {"claimName": "models"}}
    for member in ("credentialsSecretRef", "caSecretRef"):
        if draw(st.booleans()):
            source[member] = {"name": "a-secret"}
    return source


@st.composite
def resources(draw: st.DrawFn) -> dict[str, Any]:
    amounts = st.sampled_from(["1", "500m", "2.5", "4Gi", "1024Mi"])
    names = st.sampled_from(["cpu", "memory", "ephemeral-storage"])
    amount_of = st.dictionaries(names, amounts, max_size=3)
    return {"requests": draw(amount_of), "limits": draw(amount_of)}


@st.composite
def pools(draw: st.DrawFn, name: str) -> dict[str, Any]:
    accelerator = draw(ACCELERATORS)
    pool: dict[str, Any] = {
        "name": name,
        "accelerator": accelerator,
        "replicas": draw(st.integers(0, 3)),
        "resources": draw(resources()),
        "nodeSelector": draw(
            st.dictionaries(st.sampled_from(["zone", "example.com/disk"]), st.just("a"))
        ),
    }
    if accelerator != "cpu":
        pool["acceleratorCount"] = draw(st.integers(1, 16))
    return pool


@st.composite
def servers(draw: st.DrawFn) -> dict[str, Any]:
    quantized = draw(st.booleans())
    return draw(
        st.fixed_dictionaries(
            {},
            optional={
                "threads": st.integers(1, 512),
                "contextLength": st.integers(64, 16_777_216),
                "slots": st.integers(1, 256),
                "batchSize": st.integers(1, 65_536),
                "cacheTypeK": st.sampled_from(["f16", "q8_0", "iq4_nl"]),
                "cacheTypeV": st.just("q8_0") if quantized else st.just("f32"),
                "flashAttention": st.sampled_from(["auto", "on"])
                if quantized
                else st.sampled_from(["auto", "on", "off"]),
                "cacheReuse": st.integers(0, 65_536),
                "promptCacheMemory": st.sampled_from(["0", "0Mi", "1Gi", "1024Mi", "1000000"]),
                "ropeScaling": st.fixed_dictionaries(
                    {
                        "type": st.sampled_from(["none", "linear", "yarn"]),
                        "factor": st.floats(1, 64),
                    }
                ),
            },
        )
    )


SAMPLINGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 10) | st.integers(0, 10),
        "topK": st.integers(0, 1_000_000),
        "topP": st.floats(0, 1),
        "minP": st.floats(0, 1),
        "repeatPenalty": st.floats(0, 10),
        "maxTokens": st.integers(1, 1_000_000),
        "stop": st.lists(st.text(max_size=8), max_size=3),
        "seed": st.integers(0, 4_294_967_295),
    },
)
PROMPTS = st.fixed_dictionaries(
    {}, optional={"system": st.text(max_size=20), "chatTemplate": st.text(max_size=20)}
)
PRECEDENCES = st.sampled_from(["Default", "Forced"])


@st.composite
def own_presets(draw: st.DrawFn, name: str = "balanced") -> Preset:
    spec: dict[str, Any] = {
        "sampling": draw(SAMPLINGS),
        "precedence": draw(PRECEDENCES),
        "prompt": draw(PROMPTS),
    }
    if draw(st.booleans()):
        spec["server"] = draw(servers())
    return factories.preset(name, **spec)


@st.composite
def listed_presets(draw: st.DrawFn, name: str) -> Preset:
    """A preset that any endpoint may list: it needs no server of its own."""
    return factories.preset(
        name,
        sampling=draw(SAMPLINGS),
        precedence=draw(PRECEDENCES),
        prompt=draw(st.fixed_dictionaries({}, optional={"system": st.text(max_size=20)})),
    )


@st.composite
def canary_steps(draw: st.DrawFn) -> list[dict[str, int]]:
    """Steps that pass the CRD's rules: weights do not fall, and the last one alone may wait."""
    weights = sorted(draw(st.lists(st.integers(0, 100), min_size=1, max_size=4)))
    steps = [{"weight": weight, "holdSeconds": draw(st.integers(1, 60))} for weight in weights]
    if draw(st.booleans()):
        del steps[-1]["holdSeconds"]
    return steps


@st.composite
def rollouts(draw: st.DrawFn) -> dict[str, Any]:
    strategy = draw(st.sampled_from(["Surge", "Replace", "Canary"]))
    if strategy != "Canary":
        return {"strategy": strategy}
    canary = {
        "steps": draw(canary_steps()),
        "replicas": draw(st.integers(1, 3)),
        "stickiness": draw(st.sampled_from(["None", "Key"])),
    }
    return {"strategy": strategy, "canary": canary}


ROUTINGS = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.sampled_from(["PrefixAffinity", "LeastBusy", "RoundRobin"]),
        "queue": st.fixed_dictionaries(
            {}, optional={"maxDepth": st.integers(0, 10_000), "timeoutSeconds": st.integers(1, 600)}
        ),
        "healthCheck": st.fixed_dictionaries(
            {},
            optional={
                "intervalSeconds": st.integers(1, 300),
                "failureThreshold": st.integers(1, 100),
            },
        ),
        "retries": st.integers(0, 5),
        "idleTimeoutSeconds": st.integers(301, 3600),
        "keepAliveSeconds": st.integers(1, 299),
    },
)


@st.composite
def external_endpoints(draw: st.DrawFn) -> dict[str, Any]:
    secure = draw(st.booleans())
    external: dict[str, Any] = {
        "name": draw(POOL_NAMES),
        "url": f"http{'s' if secure else ''}://studio.example:8443",
        "slots": draw(st.integers(1, 1024)),
        "priority": draw(st.integers(0, 1)),
    }
    if draw(st.booleans()):
        external["apiKeySecretRef"] = {"name": "a-secret", "key": "token"}
    if secure and draw(st.booleans()):
        external["caSecretRef"] = {"name": "a-secret"}
    return external


@st.composite
def endpoints(draw: st.DrawFn) -> tuple[LLMEndpoint, dict[str, Preset]]:
    """An endpoint that can be carried out, and the presets that it names."""
    spec: dict[str, Any] = {
        "model": draw(model_sources()),
        "rollout": draw(rollouts()),
        "routing": draw(ROUTINGS),
        "externalEndpoints": draw(
            st.lists(external_endpoints(), max_size=2, unique_by=lambda item: str(item["name"]))
        ),
    }
    if draw(st.booleans()):
        names = draw(st.lists(POOL_NAMES, min_size=1, max_size=3, unique=True))
        spec["pools"] = [draw(pools(name)) for name in names]
    else:
        shorthand = draw(pools("default"))
        del shorthand["name"]
        spec |= shorthand
    named = []
    if draw(st.booleans()):
        named.append(draw(own_presets()))
        spec["presetRef"] = {"name": "balanced"}
    if draw(st.booleans()):
        named.append(draw(listed_presets("precise")))
        spec["presets"] = ["precise"]
    if draw(st.booleans()):
        rates = st.fixed_dictionaries({}, optional={"burst": st.integers(1, 1_000_000)})
        spec["access"] = {"apiKeySecretRef": {"name": "a-secret"}, "rateLimit": draw(rates)}
    resource = factories.endpoint(
        name=draw(NAMES), namespace=draw(NAMES), generation=draw(st.integers(1, 9)), **spec
    )
    return resource, factories.presets(*named)


WORDS = st.sampled_from(
    [
        "",
        "main: error loading model: bad magic",
        "couldn't bind HTTP server socket",
        '{"reason":"ChecksumMismatch","message":"wrong"}',
        "ä{\n[1]",
    ]
)
STATES: st.SearchStrategy[Manifest] = st.one_of(
    st.just(factories.running()),
    st.builds(
        factories.terminated, WORDS, code=st.sampled_from([0, 1, 137]), reason=st.just("Error")
    ),
    st.builds(
        factories.waiting,
        st.sampled_from(
            ["", "PodInitializing", "CrashLoopBackOff", "ImagePullBackOff", "PortInUse"]
        ),
        WORDS,
        last=st.none() | st.builds(factories.terminated, WORDS),
    ),
)


@st.composite
def pods(draw: st.DrawFn, processes: tuple[str, ...]) -> Manifest:
    name = f"pod-{draw(st.integers(0, 10_000))}"
    metadata: dict[str, Any] = {}
    if draw(st.booleans()):
        metadata["deletionTimestamp"] = factories.NOW.isoformat()
    return factories.pod(
        draw(st.sampled_from(processes)),
        name=name,
        pool=draw(st.sampled_from(["default", "gpu"])),
        ready=draw(st.booleans()),
        phase=draw(st.sampled_from(["Pending", "Running", "Failed"])),
        fetch=draw(st.none() | STATES),
        server=draw(st.none() | STATES),
        conditions=draw(st.lists(st.builds(factories.unschedulable, WORDS), max_size=1)),
        **metadata,
    )


ROUTERS = st.builds(
    factories.router,
    st.sampled_from(["router-1", "router-2"]),
    reachable=st.booleans(),
    state=st.none()
    | st.builds(
        factories.router_state,
        st.none() | DIGESTS,
        phase=st.sampled_from(list(EndpointPhase)),
        message=st.none() | st.just("unknown cluster"),
        healthy=st.integers(0, 1),
    ),
)
PROGRESS = st.builds(
    Progress,
    stage=st.sampled_from(list(FetchStage)),
    completed_bytes=st.integers(0, 2**40),
    total_bytes=st.none() | st.integers(0, 2**40),
    bytes_per_second=st.none() | st.floats(0, 1e12),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[LLMEndpoint, ObservedEndpoint, Settings]:
    """An endpoint somewhere in its life, whatever may be observed of it."""
    resource, presets = draw(endpoints())
    cluster = FakeCluster(resource, presets)
    for _ in range(draw(st.integers(0, 2))):
        cluster.reconcile()
        cluster.run_controllers()
        for name in cluster.pods:
            cluster.set_ready(name, ready=draw(st.booleans()))
        if draw(st.booleans()):
            cluster.edit(model={"uri": "https://models.example/b.gguf", "sha256": draw(DIGESTS)})
    seen = cluster.observe()
    processes = (*sorted(cluster.deployed()), "00000000")
    key = ObjectKey("v1", "Service", resource.metadata.namespace, resource.metadata.name)
    seen = replace(
        seen,
        pods=(*seen.pods, *draw(st.lists(pods(processes), max_size=4))),
        routers=tuple(draw(st.lists(ROUTERS, max_size=2))),
        routers_asked=draw(st.booleans()),
        progress=draw(st.dictionaries(st.sampled_from(["pod-1", "pod-2"]), PROGRESS)),
        missing_secrets=draw(st.frozensets(st.just("a-secret"))),
        claims={name: {} for name in draw(st.sets(CLAIMS))},
        foreign=draw(st.frozensets(st.just(key))),
        presets=draw(st.sampled_from([presets, {}])),
        backend_key=draw(st.sampled_from([seen.backend_key, None, {"data": {}}, {}])),
        rejected=draw(st.none() | st.just("denied")),
    )
    return cluster.endpoint, seen, cluster.settings


@dataclass(frozen=True)
class Happening:
    """One thing that happens to a cluster, with a number that chooses among candidates."""

    name: str
    number: int = 0
    children: frozenset[int] = frozenset()
    """Those that are applied before a crash."""


HAPPENINGS = st.builds(
    Happening,
    st.sampled_from(
        [
            "reconcile",
            "reconcile",
            "reconcile without asking",
            "crash",
            "controllers",
            "controllers",
            "pod ready",
            "pod ready",
            "pod unready",
            "pods gone",
            "acknowledge",
            "acknowledge",
            "restart router",
            "router unreachable",
            "edit model",
            "roll out a model",
            "roll out a model",
            "roll out a model",
            "edit preset",
            "scale",
            "edit resources",
            "wait",
        ]
    ),
    st.integers(0, 7),
    st.frozensets(st.integers(0, 7)),
)
MODELS = [{"uri": f"https://models.example/{n}.gguf", "sha256": f"{n}" * 64} for n in range(8)]


def carry_out(cluster: FakeCluster, happening: Happening) -> None:
    """Let one thing happen."""
    number = happening.number
    names = sorted(cluster.pods)
    routers = sorted(cluster.routers)
    match happening.name:
        case "reconcile":
            cluster.reconcile()
        case "reconcile without asking":
            cluster.reconcile(asked=False)
        case "crash":
            cluster.reconcile(only=happening.children)
        case "controllers":
            cluster.run_controllers()
        case "pod ready" | "pod unready" if names:
            cluster.set_ready(names[number % len(names)], ready=happening.name == "pod ready")
        case "pods gone":
            cluster.remove_ended_pods()
        case "acknowledge":
            router = routers[number % len(routers)]
            if router not in cluster.unreachable:
                cluster.acknowledge(router)
        case "restart router":
            cluster.routers[routers[number % len(routers)]] = None
        case "router unreachable":
            cluster.unreachable ^= {routers[number % len(routers)]}
        case "edit model":
            cluster.edit(model=MODELS[number])
        case "roll out a model":
            cluster.edit(model=MODELS[number])
            for _ in range(2):
                cluster.reconcile()
                cluster.run_controllers()
                for name in cluster.pods:
                    cluster.set_ready(name)
        case "edit preset":
            cluster.presets = factories.presets(
                factories.preset(sampling={"temperature": float(number % 3)})
            )
        case "scale":
            cluster.edit(replicas=number % 3)
        case "edit resources":
            cluster.edit(resources={"requests": {"cpu": str(number + 1)}})
        case "replace":
            cluster.edit(rollout={"strategy": "Replace"})
        case "surge":
            cluster.edit(rollout={"strategy": "Surge"})
        case "promote" | "abort":
            canary = cluster.endpoint.status.canary
            name = canary.revision if canary else "00000000"
            cluster.annotate(**{happening.name: f"{name}/{number}"})
        case "retry":
            rejected = [item.name for item in cluster.endpoint.status.revisions if item.outcome]
            cluster.annotate(retry=f"{rejected[0] if rejected else '00000000'}/{number}")
        case "roll back":
            spec = cluster.endpoint.spec
            meant = resolve(cluster.endpoint.metadata.name, spec, cluster.presets).revision
            known = [item.name for item in cluster.endpoint.status.revisions]
            to = known[number % len(known)] if known else "00000000"
            cluster.annotate(rollback=f"{to}/{meant}/{number}")
        case "no rollback":
            cluster.annotate(rollback=None)
        case "hold":
            canary = cluster.endpoint.status.canary
            if canary is not None and canary.hold_until is not None:
                cluster.now = max(cluster.now, canary.hold_until)
        case "wait":
            cluster.now += timedelta(seconds=number * 10)
