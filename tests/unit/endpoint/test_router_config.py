from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from puna.api.preset import Preset, Sampling
from puna.core.naming import endpoint_port
from puna.endpoint.router_config import (
    SERVER_NAMES,
    build_router_config,
    closer,
    endpoint_config,
    preset_config,
)
from puna.settings import RouterSettings
from puna_router.config import (
    CONFIG_KEY,
    LABEL_ROUTER_CONFIG,
    AccessConfig,
    EndpointConfig,
    PresetConfig,
    RevisionConfig,
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
        stable=revision(resource, *named),
        idle=(revision(OTHER),),
        settings=RouterSettings(),
    )


def test_all_requests_go_to_the_stable_revision() -> None:
    assert configured().revisions == (
        RevisionConfig(name=revision().name, process=revision().process, weight=100),
        RevisionConfig(name=revision(OTHER).name, process=revision(OTHER).process, weight=0),
    )


def test_settings_of_the_router_reach_its_document() -> None:
    config = configured()
    assert (config.name, config.port, config.created) == (
        NAME,
        endpoint_port(NAMESPACE, NAME),
        int(CREATED.timestamp()),
    )
    assert (config.retries, config.idle_timeout_seconds, config.keep_alive_seconds) == (1, 300, 15)
    assert (config.health_check.interval_seconds, config.health_check.failure_threshold) == (2, 2)


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
