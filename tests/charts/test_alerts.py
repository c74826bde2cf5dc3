"""Every alert fires, says what it should and clears, as Prometheus' own engine evaluates it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from hack.generate.alerts import ALERTS

# The first test may have to build the program.
pytestmark = pytest.mark.timeout(900)

FIXTURE = Path(__file__).parent / "alerts.yaml"
CASES: list[dict[str, Any]] = yaml.safe_load(FIXTURE.read_text())["tests"]
NAMES = [alert.name for alert in ALERTS]


class Firing(NamedTuple):
    """One alert that fires."""

    labels: dict[str, str]
    annotations: dict[str, str]


def evaluated(promrules: Path, fixture: Path) -> list[list[list[Firing]]]:
    """What fires: for each case, at each moment that it asks about."""
    done = subprocess.run(
        [str(promrules), str(fixture)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [
        [[Firing(**alert) for alert in firing] for firing in moments]
        for moments in json.loads(done.stdout)
    ]


@pytest.fixture(scope="module")
def fired(promrules: Path) -> dict[str, list[list[Firing]]]:
    """What fires, by the name of the case."""
    names = [case["name"] for case in CASES]
    return dict(zip(names, evaluated(promrules, FIXTURE), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_fires_is_what_should(
    fired: dict[str, list[list[Firing]]], case: dict[str, Any]
) -> None:
    for moment, firing in zip(case["alert_rule_test"], fired[case["name"]], strict=True):
        when = (moment["alertname"], moment["eval_time"])
        assert (when, sorted(firing, key=str)) == (when, sorted(expected(moment), key=str))


@pytest.mark.parametrize("alert", NAMES)
def test_each_alert_is_quiet_then_fires_then_clears_in_one_case(alert: str) -> None:
    assert any(is_life_of(alert, case) for case in CASES)


def test_nothing_else_is_asked_about() -> None:
    assert {moment["alertname"] for case in CASES for moment in case["alert_rule_test"]} == {*NAMES}
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"expr": "sum by (a) (b"}, "unclosed left parenthesis"),
        ({"expr": "up", "annotations": {"summary": "{{ $label.a }}"}}, "undefined variable"),
        ({"expr": "up", "for": "5 minutes"}, "unknown unit"),
    ],
)
def test_a_rule_that_prometheus_would_not_load_is_refused(
    promrules: Path, tmp_path: Path, rule: dict[str, Any], message: str
) -> None:
    groups = [{"name": "wrong", "rules": [{"alert": "Wrong"} | rule]}]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    fixture = tmp_path / "fixture.yaml"
    fixture.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m"}))
    done = subprocess.run(
        [str(promrules), str(fixture)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def expected(moment: dict[str, Any]) -> Iterator[Firing]:
    for alert in moment.get("exp_alerts", ()):
        yield Firing(alert["exp_labels"], alert["exp_annotations"])


def is_life_of(alert: str, case: dict[str, Any]) -> bool:
    moments = {
        int(found["eval_time"].removesuffix("m")): bool(found.get("exp_alerts"))
        for found in case["alert_rule_test"]
        if found["alertname"] == alert
    }
    firing = [moment for moment, fires in moments.items() if fires]
    quiet = [moment for moment, fires in moments.items() if not fires]
    if not firing or not quiet:
        return False
    return min(quiet) < min(firing) and max(firing) < max(quiet)
