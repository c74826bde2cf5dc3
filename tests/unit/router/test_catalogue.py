from __future__ import annotations

import json
from typing import Any

from puna_router.config import AccessConfig, EndpointConfig, LineageConfig, RevisionConfig
from puna_router.control.catalogue import lookup_table, model_list

LINEAGE = LineageConfig(
    job="tiny-2", seed=7, data_hash="d" * 64, scores={"perplexity": 12.5}, sha256="a" * 64
)
TOLD = {
    "revision": "8f3a12cd",
    "job": "tiny-2",
    "seed": 7,
    "dataHash": "d" * 64,
    "scores": {"perplexity": 12.5},
    "sha256": "a" * 64,
}
STABLE = RevisionConfig(name="0f3a12cd", process="0123abcd", weight=90)
CANARY = RevisionConfig(name="8f3a12cd", process="4567abcd", weight=10, lineage=LINEAGE)


def endpoint(*revisions: RevisionConfig, **members: Any) -> EndpointConfig:
    return EndpointConfig(
        name="code", port=20001, created=5, revisions=revisions, presets={"precise": {}}, **members
    )


def test_a_trained_model_says_once_where_it_comes_from() -> None:
    config = endpoint(STABLE, CANARY)
    plain, chosen = json.loads(model_list([config]))["data"]
    assert plain == {
        "id": "code",
        "object": "model",
        "created": 5,
        "owned_by": "puna",
        "lineage": [TOLD],
    }
    assert "lineage" not in chosen
    table = lookup_table([config], None)
    assert json.loads(table["card/code"]) == plain
    assert "lineage" not in table["card/code:precise"]


def test_a_model_that_was_not_trained_here_says_nothing() -> None:
    assert "lineage" not in model_list([endpoint(STABLE)])


def test_where_a_model_comes_from_is_for_those_with_a_key_where_one_is_required() -> None:
    config = endpoint(STABLE, CANARY, access=AccessConfig(secret="keys"))
    table = lookup_table([config], None)
    assert "lineage" not in model_list([config])
    assert "lineage" not in table["card/code"]
    assert "lineage" not in table["bare/v1/models/code"]
    assert "lineage" in table["full/v1/models/code"]


def test_a_weight_that_changes_changes_no_list() -> None:
    later = CANARY.model_copy(update={"weight": 50})
    before, after = endpoint(STABLE, CANARY), endpoint(STABLE, later)
    assert lookup_table([before], None) == lookup_table([after], None)
