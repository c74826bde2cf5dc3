from __future__ import annotations

from typing import Any

import pytest

from puna.api.pool import Accelerator, Pool
from puna.api.preset import Preset
from puna.endpoint.effective import pools_of, preset_names, resolve
from tests.factories import HTTPS_MODEL, SHA, effective, endpoint, preset

EVERYTHING: dict[str, Any] = {
    "sampling": {"temperature": 0.7, "topK": 40, "stop": ["END"], "seed": 7},
    "precedence": "Forced",
    "server": {
        "threads": 8,
        "slots": 4,
        "cacheTypeK": "q8_0",
        "promptCacheMemory": "1Gi",
        "ropeScaling": {"type": "yarn", "factor": 2},
    },
    "prompt": {"system": "Be brief.", "chatTemplate": "{{ x }}"},
}


def hashes(model: dict[str, Any], spec: dict[str, Any]) -> tuple[str, str]:
    """Process and revision hash of an endpoint with a preset."""
    resource = endpoint(model=model, presetRef={"name": "balanced"})
    made = effective(resource, preset(**spec))
    return made.process, made.revision


@pytest.mark.parametrize(
    ("model", "spec", "expected"),
    [
        ({"uri": "file:///srv/models/tiny.gguf"}, {}, ("47e27957", "6437a4f7")),
        (HTTPS_MODEL, {}, ("a4cf50d6", "0c349b1d")),
        (HTTPS_MODEL, EVERYTHING, ("e3bea656", "df977a95")),
    ],
)
def test_hashes_are_frozen_since_another_hash_restarts_every_server(
    model: dict[str, Any], spec: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert hashes(model, spec) == expected


def test_an_endpoint_without_preset_hashes_as_with_an_empty_one() -> None:
    plain = effective(endpoint(model=HTTPS_MODEL))
    assert (plain.process, plain.revision) == hashes(HTTPS_MODEL, {})


@pytest.mark.parametrize(
    "spec",
    [
        {"sampling": {}},
        {"sampling": {"stop": []}},
        {"precedence": "Default"},
        {"server": {}},
        {"server": {"slots": 1, "contextLength": 4096, "cacheTypeK": "f16"}},
        {"server": {"promptCacheMemory": "0Mi"}},
        {"server": {"promptCacheMemory": 0}},
        {"prompt": {}},
        {"sampling": {"temperature": None}},
        {"unknown": "a field of a later version"},
    ],
)
def test_a_default_written_out_hashes_as_an_absent_one(spec: dict[str, Any]) -> None:
    assert hashes(HTTPS_MODEL, spec) == hashes(HTTPS_MODEL, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"sampling": {"temperature": 1}}, {"sampling": {"temperature": 1.0}}),
        (
            {"server": {"promptCacheMemory": "1Gi"}},
            {"server": {"promptCacheMemory": "1024Mi"}},
        ),
        (
            {"server": {"ropeScaling": {"type": "yarn", "factor": 2}}},
            {"server": {"ropeScaling": {"type": "yarn", "factor": 2.0}}},
        ),
    ],
)
def test_values_that_mean_the_same_hash_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert hashes(HTTPS_MODEL, one) == hashes(HTTPS_MODEL, other)


@pytest.mark.parametrize(
    "spec",
    [
        {"sampling": {"temperature": 0.5}},
        {"sampling": {"stop": ["END"]}},
        {"sampling": {"temperature": 0}},
        {"precedence": "Forced"},
        {"prompt": {"system": "Be brief."}},
    ],
)
def test_what_changes_answers_alone_makes_a_revision_and_keeps_the_process(
    spec: dict[str, Any],
) -> None:
    before, after = hashes(HTTPS_MODEL, {}), hashes(HTTPS_MODEL, spec)
    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize(
    "spec",
    [{"server": {"slots": 2}}, {"server": {"threads": 2}}, {"prompt": {"chatTemplate": "x"}}],
)
def test_what_a_server_is_started_with_makes_a_process(spec: dict[str, Any]) -> None:
    before, after = hashes(HTTPS_MODEL, {}), hashes(HTTPS_MODEL, spec)
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_another_name_or_model_is_another_process() -> None:
    other = {"uri": HTTPS_MODEL["uri"], "sha256": "6" * 64}
    processes = {
        effective(endpoint(model=HTTPS_MODEL)).process,
        effective(endpoint(name="code", model=HTTPS_MODEL)).process,
        effective(endpoint(model=other)).process,
        effective(endpoint(model=HTTPS_MODEL | {"caSecretRef": {"name": "ca"}})).process,
    }
    assert len(processes) == 4


def test_hardware_and_replicas_change_no_hash() -> None:
    plain = effective(endpoint(model=HTTPS_MODEL))
    pools = [{"name": "gpu", "accelerator": "cuda", "replicas": 3}]
    for spec in ({"replicas": 5}, {"accelerator": "metal"}, {"pools": pools}):
        assert effective(endpoint(model=HTTPS_MODEL, **spec)).revision == plain.revision


def test_the_shorthand_is_a_pool_named_default() -> None:
    shorthand = endpoint(
        accelerator="cuda",
        replicas=3,
        acceleratorCount=2,
        resources={"limits": {"cpu": 4}},
        nodeSelector={"zone": "a"},
    )
    assert pools_of(shorthand.spec) == (
        Pool.model_validate(
            {
                "name": "default",
                "accelerator": Accelerator.CUDA,
                "replicas": 3,
                "acceleratorCount": 2,
                "resources": {"limits": {"cpu": "4"}},
                "nodeSelector": {"zone": "a"},
            }
        ),
    )
    assert pools_of(endpoint().spec)[0].replicas == 1
    assert pools_of(endpoint(replicas=0).spec)[0].replicas == 0


def test_presets_are_named_once_the_endpoints_own_first() -> None:
    resource = endpoint(presetRef={"name": "b"}, presets=["a", "b"])
    assert preset_names(resource.spec) == ("b", "a")
    assert preset_names(endpoint().spec) == ()


def test_an_endpoint_takes_everything_from_its_own_preset() -> None:
    own = preset("own", **EVERYTHING)
    listed = preset("listed", sampling={"temperature": 0})
    resource = endpoint(presetRef={"name": "own"}, presets=["listed"])
    known: dict[str, Preset] = {"own": own, "listed": listed, "another": preset("another")}
    made = resolve("chat", resource.spec, known)
    assert (made.preset, made.sampling, made.precedence, made.prompt, made.server) == (
        "own",
        own.spec.sampling,
        own.spec.precedence,
        own.spec.prompt,
        own.spec.server,
    )
    assert made.presets == {"own": own.spec, "listed": listed.spec}
    assert made.model.sha256 != SHA
