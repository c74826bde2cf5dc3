from __future__ import annotations

import math

import pytest

from puna_router.config import PresetConfig
from puna_router.control.splice import filter_context


def test_an_empty_preset_leaves_only_the_keep_alive() -> None:
    assert filter_context(PresetConfig(), 15) == {"keep_alive": '"sse_ping_interval":15'}


def test_a_token_limit_is_apart_from_the_other_defaults() -> None:
    preset = PresetConfig(
        defaults={"top_k": 40, "max_tokens": 5, "stop": ["\n"]}, system_prompt='a "b"'
    )
    assert filter_context(preset, 1) == {
        "keep_alive": '"sse_ping_interval":1',
        "defaults": '"top_k":40,"stop":["\\n"]',
        "limit": '"max_tokens":5',
        "system": '"a \\"b\\""',
    }


def test_a_forced_token_limit_takes_all_its_names() -> None:
    context = filter_context(PresetConfig(forced={"n_predict": 3}), 1)
    assert context["forced"] == (
        '"n_predict":3,"max_tokens":3,"max_completion_tokens":3,"max_output_tokens":3'
    )


def test_a_number_that_json_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        filter_context(PresetConfig(defaults={"temperature": math.inf}), 1)
