from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from hack.generate.fields import fields
from hack.generate.metrics import operator_series, router_series
from hack.generate.settings import variables
from hack.generate.values import read_values
from puna.api.crd import KINDS
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.api.resource import Resource
from puna.api.schema import resource_schema

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "examples", ROOT / "charts", ROOT / "operator")
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_documented(kind: type[Resource]) -> None:
    page = (REFERENCE / f"{kind.kind.lower()}.md").read_text()
    schema = resource_schema(kind)["properties"]
    documented = [
        field
        for part in ("spec", "status")
        if part in schema
        for field in fields(schema[part], part)
    ]
    assert [field.path for field in documented if f"`{field.path}`" not in page] == []


@pytest.mark.parametrize("enum", [ConditionType, Reason, EventReason])
def test_every_condition_reason_and_event_is_documented(enum: type[StrEnum]) -> None:
    page = (REFERENCE / "conditions.md").read_text()
    assert [member for member in enum if f"| `{member}` |" not in page] == []


def test_every_setting_is_documented() -> None:
    page = (REFERENCE / "settings.md").read_text()
    assert [name for name in variables() if f"`{name}`" not in page] == []


def test_every_metric_is_documented() -> None:
    page = (REFERENCE / "metrics.md").read_text()
    names = [series.name for series in (*operator_series(), *router_series())]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_chart_value_is_documented() -> None:
    page = (ROOT / "charts/puna/README.md").read_text()
    values = read_values((ROOT / "charts/puna/values.yaml").read_text())
    leaves = [leaf.path for value in values for leaf in value.leaves()]
    assert [path for path in leaves if f"`{path}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(CODE.sub("", page.read_text())) if "://" not in link]
    assert [link for link in targets if not (page.parent / link).exists()] == []
