"""Row 10 in short: two endpoints, two presets, 40 parallel streams."""

from __future__ import annotations

import pytest

from tests.e2e.crowd import expected_settings, prepare, stream
from tests.e2e.notes import note
from tests.e2e.stage import Stage

pytestmark = pytest.mark.e2e


def test_every_stream_ends_well_and_with_its_preset(stage: Stage) -> None:
    prepare(stage)
    crowd = stream(stage, streams=40, seconds=8)
    note(f"{len(crowd.outcomes)} streams, {crowd.events} events, {crowd.at_once} at once")
    assert crowd.failed == ()
    assert crowd.at_once >= 36
    assert crowd.settings == expected_settings()
