"""Dashboard and alerts, checked with what a running router and operator published."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.promql import Checked, in_annotation, in_braces, series_of, without_variables
from tests.recording import OPERATOR, ROUTER, TRAINING

ROOT = Path(__file__).parents[2]
FILES = ROOT / "charts/puna/files"
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PAGE = (ROOT / "docs/alerts.md").read_text()
SERIES = series_of(ROUTER.read_text(), OPERATOR.read_text(), TRAINING.read_text())


class Shown(NamedTuple):
    """One query of the dashboard."""

    panel: str
    expression: str
    legend: str


def shown() -> Iterator[Shown]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression = without_variables(target["expr"])
            yield Shown(panel["title"], expression, target["legendFormat"])


QUERIES = tuple(shown())
CHECKED = [Checked(query.expression, SERIES) for query in QUERIES]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.panel}: {query.legend}")
def test_a_panel_asks_for_what_is_there_and_names_its_series_by_it(query: Shown) -> None:
    found = Checked(query.expression, SERIES)
    assert found.problems == []
    assert set(in_braces(query.legend)) <= found.labels


def test_every_panel_has_queries_and_each_its_letter() -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEF"[: len(letters)]), panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_the_choices_of_the_dashboard_are_labels_that_are_there() -> None:
    variables = {found["name"]: found for found in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "endpoint"]
    for name in ("namespace", "endpoint"):
        query = variables[name]["query"]["query"]
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found is not None, query
        checked = Checked(without_variables(found[1]), SERIES)
        assert (checked.problems, found[2] in checked.labels) == ([], True)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_there_and_tells_of_it(rule: dict[str, Any]) -> None:
    found = Checked(rule["expr"], SERIES)
    assert found.problems == []
    for text in rule["annotations"].values():
        assert set(in_annotation(text)) <= found.labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_waits_has_a_severity_and_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
    assert f"\n## {rule['alert']}\n" in PAGE


def test_a_panel_that_a_runbook_names_exists() -> None:
    titles = {panel["title"] for panel in DASHBOARD["panels"]}
    named = set(re.findall(r"\*([A-Z][^*]+)\*", PAGE))
    assert named
    assert named - titles == set()


LEFT_OUT = {
    "puna_router_endpoints",
    "puna_router_failed_requests_total",
    "puna_router_files_written",
    "puna_router_validations",
    "puna_router_watch_restarts",
}
"""For whoever looks into one router; failures by revision, which canaries are judged by."""


def test_everything_that_is_published_is_on_the_dashboard_or_left_out_on_purpose() -> None:
    used = {family(name) for found in CHECKED for name in found.metrics}
    published = {family(name) for name in SERIES if not name.endswith("_created")}
    assert published - used - {"up"} == LEFT_OUT


def family(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("puna_router_nothing", "no series puna_router_nothing"),
        ('puna_router_queue_depth{revision="a"}', "no label revision"),
        ("sum by (endpoint) (puna_router_backends)", "no label endpoint"),
        ("puna_router_requests_total", "counts up"),
        ("histogram_quantile(0.5, puna_router_queue_depth)", "no label le"),
        ("puna_router_queue_depth / puna_router_backends", "never match"),
        ("puna_router_queue_depth and on (revision) puna_router_backends", "no label revision"),
        ('label_replace(up, "a", "$1", "revision", "(.+)")', "no label revision"),
    ],
)
def test_the_check_finds_what_is_wrong(expression: str, problem: str) -> None:
    assert any(problem in found for found in Checked(expression, SERIES).problems)
