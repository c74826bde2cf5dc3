from __future__ import annotations

import json
from typing import Any

import pytest

from puna_router.config import CONFIG_KEY, LABEL_ENDPOINT, EndpointConfig, config_digest
from puna_router.control.documents import Document, by_endpoint, from_config_map

CONFIG: dict[str, Any] = {"name": "chat", "port": 20000, "created": 1, "revisions": []}
TEXT = json.dumps(CONFIG)


def config_map(
    text: str | None, label: str | None = "chat", name: str = "chat-router-config"
) -> Any:
    labels = {} if label is None else {LABEL_ENDPOINT: label}
    return {
        "metadata": {"name": name, "labels": labels},
        "data": {} if text is None else {CONFIG_KEY: text},
    }


def test_a_document_is_known_by_the_digest_of_its_text() -> None:
    expected = Document("chat", config_digest(TEXT), EndpointConfig.model_validate(CONFIG))
    assert expected == from_config_map(config_map(TEXT))
    assert expected == from_config_map(config_map(TEXT, label=None))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "has no key endpoint.json"),
        ("{", "document: Invalid JSON"),
        (json.dumps({**CONFIG, "port": 0}), "port: Input should be greater than or equal to 1"),
        (json.dumps({**CONFIG, "name": "other"}), "name: 'other' is not 'chat'"),
        (json.dumps({**CONFIG, "presets": {"A b": {}}}), "presets.A b"),
        (
            json.dumps(
                {**CONFIG, "revisions": [{"name": "a" * 8, "process": "b" * 8, "weight": 1}] * 2}
            ),
            "revisions: aaaaaaaa is there twice",
        ),
    ],
)
def test_a_bad_document_keeps_its_endpoint_and_names_the_field(
    text: str | None, problem: str
) -> None:
    found = from_config_map(config_map(text))
    assert found is not None
    assert (found.endpoint, found.config) == ("chat", None)
    assert problem in (found.problem or "")


def test_a_document_of_nobody_is_left_out() -> None:
    maps = [config_map("{", label=None), config_map(None, label=None)]
    assert [from_config_map(found) for found in maps] == [None, None]
    assert by_endpoint({"a": None}) == {}


def test_of_two_documents_for_one_endpoint_the_first_by_name_counts() -> None:
    later = from_config_map(config_map(json.dumps({**CONFIG, "port": 1})))
    found = by_endpoint({"z": later, "a": from_config_map(config_map(TEXT))})
    assert config_digest(TEXT) == found["chat"].digest
