"""The list of generated files and their texts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from hack.generate import alerts, chart, dashboard, metrics, records, reference, settings
from hack.generate.values import read_values
from puna.api.crd import KINDS, custom_resource_definition, to_yaml

HEADER: Final = "# Generated from operator/puna/api by `make generate`. Do not edit.\n"
WHOLLY_GENERATED: Final = ("crds", "charts/puna/templates/crds", "charts/puna/files")
"""Folders that hold generated files alone."""


def generated_files(root: Path) -> dict[str, str]:
    """Return the text of every generated file by its path from the root of the repository."""
    values = read_values((root / "charts/puna/values.yaml").read_text(encoding="utf-8"))
    files = {
        "charts/puna/files/operator-rules.yaml": HEADER + chart.operator_rules(),
        "charts/puna/files/router-rules.yaml": HEADER + chart.router_rules(),
        "charts/puna/files/alerts.yaml": alerts.alert_rules(),
        "charts/puna/files/dashboard.json": dashboard.dashboard_json(),
        "charts/puna/values.schema.json": chart.values_schema(values),
        "charts/puna/README.md": chart.readme(values),
        "docs/adr/README.md": records.index_page(root / "docs/adr"),
        alerts.PAGE: alerts.alerts_page(),
        "docs/reference/conditions.md": reference.conditions_page(),
        "docs/reference/settings.md": settings.settings_page(),
        "docs/reference/metrics.md": metrics.metrics_page(),
    }
    for kind in KINDS:
        text = to_yaml(custom_resource_definition(kind))
        files[f"crds/{kind.plural}.yaml"] = HEADER + text
        files[f"charts/puna/templates/crds/{kind.plural}.yaml"] = chart.crd_template(text)
        files[f"docs/reference/{kind.kind.lower()}.md"] = reference.resource_page(kind)
    return files


def leftovers(root: Path, wanted: Collection[str]) -> list[str]:
    """Return the files in wholly generated folders that nothing generates any more."""
    return [
        str(path.relative_to(root))
        for folder in WHOLLY_GENERATED
        for path in (root / folder).glob("*")
        if str(path.relative_to(root)) not in wanted
    ]
