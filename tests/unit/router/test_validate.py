from __future__ import annotations

import math
from pathlib import Path

import pytest

from puna_router.config import EndpointConfig, HealthCheckConfig, PresetConfig, RevisionConfig
from puna_router.control.binary import EnvoyNotFoundError, find_envoy
from puna_router.control.validate import ValidationFailedError, Validator, reason


def config(name: str, weight: int = 100, interval: float = 1, **defaults: float) -> EndpointConfig:
    preset = PresetConfig(defaults=defaults)
    revision = RevisionConfig(name="aaaaaaaa", process="00000001", weight=weight, preset=preset)
    check = HealthCheckConfig(interval_seconds=interval)
    return EndpointConfig(name=name, port=1, created=0, revisions=(revision,), health_check=check)


async def test_one_bad_document_does_not_condemn_the_others() -> None:
    validator = Validator(find_envoy())
    good, bad, infinite = config("a"), config("b", interval=1e-12), config("c", top_p=math.inf)
    await validator.validate([good, bad, infinite])
    assert validator.verdict(good) is None
    assert "HealthCheckValidationError.Interval" in (validator.verdict(bad) or "")
    assert "cannot be rendered" in (validator.verdict(infinite) or "")


async def test_a_known_shape_is_not_validated_again() -> None:
    validator = Validator(find_envoy())
    await validator.validate([config("a")])
    await validator.validate([config("a", weight=3)])
    assert validator.runs == 1
    assert validator.knows(config("a", weight=0))
    validator.forget_all_but([])
    assert not validator.knows(config("a"))


async def test_an_envoy_that_fails_says_nothing_about_documents(tmp_path: Path) -> None:
    broken = tmp_path / "envoy"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o700)
    validator = Validator(str(broken))
    with pytest.raises(ValidationFailedError, match="ended with 3"):
        await validator.validate([config("a")])
    assert not validator.knows(config("a"))


def test_the_reason_is_what_envoy_complains_of() -> None:
    line = "[2026][critical] error initializing configuration '/x/envoy.json': "
    assert reason(f"{line}no such\n  field") == "no such field"
    assert reason(f"{line}goo.gle/debugonly\nnode {{\n}}\n: too small") == "too small"
    assert reason("something else") == "something else"


def test_an_envoy_that_is_not_there_is_told() -> None:
    with pytest.raises(EnvoyNotFoundError, match="no such program"):
        find_envoy("no-such-envoy")
