from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from puna.api.lineage import ModelLineage
from puna.api.preset import Preset, Sampling
from puna.api.routing import Routing
from puna.core.naming import endpoint_port
from puna.endpoint.router_config import (
    SERVER_NAMES,
    Share,
    build_router_config,
    closer,
    endpoint_config,
    preset_config,
)
from puna.endpoint.routing import effective_routing
from puna.settings import RouterSettings
from puna_router.config import (
    CONFIG_KEY,
    LABEL_ROUTER_CONFIG,
    AccessConfig,
    EndpointConfig,
    ExternalConfig,
    LineageConfig,
    PresetConfig,
    RevisionConfig,
    Stickiness,
    config_digest,
)
from tests.factories import CREATED, NAME, NAMESPACE, effective, endpoint, preset, revision
from tests.strategies import own_presets

OTHER = endpoint(model={"uri": "file:///srv/models/other.gguf"})


def configured(*named: Preset, **spec: Any) -> EndpointConfig:
    resource = endpoint(**spec)
    return endpoint_config(
        namespace=NAMESPACE,
        effective=effective(resource, *named),
        created=CREATED,
        shares=(Share(revision(resource, *named), 90, expected=2), Share(revision(OTHER), 10)),
        routing=effective_routing(resource.spec.routing, RouterSettings()),
        allowed_networks=("10.0.0.0/8",),
    )


def test_every_revision_has_its_share_and_its_servers() -> None:
    assert configured().revisions == (
        RevisionConfig(name=revision().name, process=revision().process, weight=90, expected=2),
        RevisionConfig(name=revision(OTHER).name, process=revision(OTHER).process, weight=10),
    )


def test_a_revision_of_a_trained_model_says_where_that_comes_from() -> None:
    lineage = ModelLineage(
        job="tiny",
        uid="uid",
        created_at=CREATED,
        seed=7,
        data_hash="d" * 64,
        scores={"perplexity": 12.5},
        sha256="a" * 64,
    )
    plain = revision()
    trained = replace(plain, data=plain.data.model_copy(update={"lineage": lineage}))
    config = endpoint_config(
        namespace=NAMESPACE,
        effective=effective(),
        created=CREATED,
        shares=(Share(trained, 90), Share(revision(OTHER), 10)),
        routing=effective_routing(endpoint().spec.routing, RouterSettings()),
        allowed_networks=(),
    )
    told = LineageConfig(
        job="tiny", seed=7, data_hash="d" * 64, scores={"perplexity": 12.5}, sha256="a" * 64
    )
    assert [item.lineage for item in config.revisions] == [told, None]
    assert config.to_json().count("lineage") == 1, "what has none is told as before"


def test_slots_are_those_of_the_revisions_own_servers() -> None:
    config = configured(preset(server={"slots": 4}), presetRef={"name": "balanced"})
    assert [item.slots for item in config.revisions] == [4, 1]


def test_a_document_names_its_endpoint() -> None:
    config = configured()
    assert (config.name, config.port, config.created) == (
        NAME,
        endpoint_port(NAMESPACE, NAME),
        int(CREATED.timestamp()),
    )


def test_what_a_spec_leaves_open_is_what_a_router_does_without_being_told() -> None:
    config, bare = configured(), EndpointConfig(name=NAME, port=1, created=0, revisions=())
    told = set(Routing.model_fields)
    assert config.model_dump(include=told) == bare.model_dump(include=told)
    assert told <= set(EndpointConfig.model_fields)


def test_routing_of_a_spec_reaches_the_document() -> None:
    routing = {
        "strategy": "RoundRobin",
        "queue": {"maxDepth": 0, "timeoutSeconds": 5},
        "healthCheck": {"intervalSeconds": 9, "failureThreshold": 4},
        "retries": 0,
        "idleTimeoutSeconds": 60,
        "keepAliveSeconds": 7,
    }
    document = configured(routing=routing).model_dump(mode="json", by_alias=True)
    assert {name: document[name] for name in routing} == routing


def test_a_canary_keeps_clients_on_their_side_where_it_is_asked_to() -> None:
    canary = {"steps": [{"weight": 10}], "stickiness": "Key"}
    sticky = configured(rollout={"strategy": "Canary", "canary": canary})
    assert (configured().stickiness, sticky.stickiness) == (Stickiness.NONE, Stickiness.KEY)


def test_external_servers_are_told_with_their_secrets_and_where_they_may_lie() -> None:
    studio = {
        "name": "studio",
        "url": "https://studio.example:8443",
        "apiKeySecretRef": {"name": "studio-key", "key": "secret"},
        "caSecretRef": {"name": "studio-ca"},
        "slots": 4,
        "priority": 1,
    }
    spare = {"name": "spare", "url": "http://spare.example", "apiKeySecretRef": {"name": "key"}}
    assert configured(externalEndpoints=[studio, spare]).external == (
        ExternalConfig(
            name="studio",
            url="https://studio.example:8443",
            slots=4,
            priority=1,
            api_key_secret="studio-key",
            api_key_member="secret",
            ca_secret="studio-ca",
            allowed_networks=("10.0.0.0/8",),
        ),
        ExternalConfig(
            name="spare",
            url="http://spare.example",
            api_key_secret="key",
            allowed_networks=("10.0.0.0/8",),
        ),
    )


def test_every_sampling_value_has_a_name_of_llama_server() -> None:
    assert set(SERVER_NAMES) == set(Sampling.model_fields)


@pytest.mark.parametrize(
    ("precedence", "expected"),
    [
        (
            "Default",
            PresetConfig(
                defaults={"temperature": 0.0, "stop": ["END"], "seed": 0}, system_prompt="Brief."
            ),
        ),
        (
            "Forced",
            PresetConfig(
                forced={"temperature": 0.0, "stop": ["END"], "seed": 0}, system_prompt="Brief."
            ),
        ),
    ],
)
def test_a_preset_is_told_in_llama_servers_words_zero_included(
    precedence: str, expected: PresetConfig
) -> None:
    spec = preset(
        sampling={"temperature": 0, "stop": ["END"], "seed": 0},
        precedence=precedence,
        prompt={"system": "Brief."},
    ).spec
    assert preset_config(spec.sampling, spec.precedence, spec.prompt) == expected


def test_presets_that_a_request_may_choose_are_all_there() -> None:
    own, precise = preset("own", sampling={"topK": 1}), preset("precise")
    config = configured(own, precise, presetRef={"name": "own"}, presets=["precise"])
    assert config.presets == {
        "own": PresetConfig(defaults={"top_k": 1}),
        "precise": PresetConfig(),
    }
    assert config.revisions[0].preset == PresetConfig(defaults={"top_k": 1})


@given(own_presets())
def test_the_router_reads_the_document_that_the_operator_wrote(own: Preset) -> None:
    config = configured(own, presetRef={"name": "balanced"})
    document = config.to_json()
    assert EndpointConfig.model_validate_json(document) == config
    again = EndpointConfig.model_validate_json(document).to_json()
    assert config_digest(again) == config_digest(document)


def test_a_document_travels_in_a_config_map_that_routers_look_for() -> None:
    made = build_router_config("{}", namespace=NAMESPACE, endpoint=NAME)
    assert made["metadata"]["name"] == "chat-router-config"
    assert made["metadata"]["labels"][LABEL_ROUTER_CONFIG] == "true"
    assert made["data"] == {CONFIG_KEY: "{}"}


KEYED = endpoint(access={"apiKeySecretRef": {"name": "team"}, "rateLimit": {"burst": 3}})


def test_access_names_the_secret_and_the_rates_of_keys_that_have_none() -> None:
    assert configured().access is None
    access = configured(access={"apiKeySecretRef": {"name": "team"}, "rateLimit": {"burst": 3}})
    assert access.access == AccessConfig(secret="team", requests_per_minute=120, burst=3)


def test_a_document_is_closed_by_the_keys_that_a_spec_asks_for_and_never_opened() -> None:
    open_document, keyed = configured().to_json(), KEYED.spec.access
    closed = closer(open_document, keyed)
    assert closed is not None
    expected = AccessConfig(secret="team", burst=3)
    assert EndpointConfig.model_validate_json(closed).access == expected
    assert closer(closed, keyed) is None
    assert closer(closed, None) is None
    assert closer("{", keyed) is None
