"""Which metrics and labels a PromQL expression needs, and which labels its result has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[str]
OF_SCRAPES: Final[Labels] = frozenset({"namespace", "pod", "container", "instance", "job"})
"""Labels that every series has because of how it was scraped."""
COUNTERS: Final = ("_total", "_bucket", "_sum", "_count")
"""Ends of the names of what only grows."""
WITHOUT: Final = "Without"
ON: Final = "Include"
OF_ONE_SIDE: Final = frozenset({"and", "unless"})


def series_of(*texts: str) -> dict[str, Labels]:
    """Names of all series in Prometheus text, with every label that any of them has."""
    found: dict[str, Labels] = {"up": OF_SCRAPES}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                had = found.get(sample.name, OF_SCRAPES)
                found[sample.name] = had | frozenset(sample.labels)
    return found


def without_variables(query: str) -> str:
    """A query of a dashboard as Grafana sends it; names of variables stay inside strings."""
    return query.replace("$__rate_interval", "5m")


@dataclass
class Checked:
    """One expression, looked at with the series that there are."""

    expression: str
    series: Mapping[str, Labels]
    problems: list[str] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    labels: Labels = frozenset()
    """Labels of the result."""

    def __post_init__(self) -> None:
        self.labels = self._labels(promql.parse(self.expression))

    def _labels(self, node: object, *, ranged: bool = False) -> Labels:
        match node:
            case promql.VectorSelector():
                return self._selector(node, ranged=ranged)
            case promql.MatrixSelector():
                return self._selector(node.vector_selector, ranged=True)
            case promql.SubqueryExpr() | promql.ParenExpr() | promql.UnaryExpr():
                return self._labels(node.expr, ranged=ranged)
            case promql.AggregateExpr():
                return self._aggregate(node)
            case promql.BinaryExpr():
                return self._binary(node)
            case promql.Call():
                return self._call(node)
            case promql.NumberLiteral() | promql.StringLiteral():
                return frozenset()
        raise TypeError(f"{type(node)} in {self.expression}")

    def _selector(self, node: promql.VectorSelector, *, ranged: bool) -> Labels:
        assert node.name is not None, f"a selector without a name in {self.expression}"
        self.metrics.add(node.name)
        if node.name not in self.series:
            self.problems.append(f"no series {node.name}")
            return frozenset()
        labels = self.series[node.name]
        self._need((matcher.name for matcher in node.matchers.matchers), labels, node.name)
        if node.name.endswith(COUNTERS) and not ranged:
            self.problems.append(f"{node.name} counts up: take its rate")
        return labels

    def _aggregate(self, node: promql.AggregateExpr) -> Labels:
        labels = self._labels(node.expr)
        if str(node.op) in {"topk", "bottomk"}:
            return labels
        if node.modifier is None:
            return frozenset()
        named = frozenset(node.modifier.labels)
        self._need(named, labels, str(node.expr))
        return labels - named if _is(node.modifier.type, WITHOUT) else named

    def _binary(self, node: promql.BinaryExpr) -> Labels:
        left, right = self._labels(node.lhs), self._labels(node.rhs)
        modifier = node.modifier
        matching = modifier.matching if modifier else None
        if matching is not None and _is(matching.type, ON):
            self._need(matching.labels, left, str(node.lhs))
            self._need(matching.labels, right, str(node.rhs))
        elif matching is not None:
            self._need(matching.labels, left | right, str(node))
        elif str(node.op) != "or" and left != right and not _has_number(node):
            self.problems.append(f"{sorted(left)} and {sorted(right)} never match in {node}")
        if str(node.op) == "or":
            return left | right
        if _is_number(node.lhs):
            return right
        grouped = modifier is not None and modifier.group_labels is not None
        if matching is None or grouped or str(node.op) in OF_ONE_SIDE:
            return left
        named = frozenset(matching.labels)
        return left & named if _is(matching.type, ON) else left - named

    def _call(self, node: promql.Call) -> Labels:
        arguments = [self._labels(argument) for argument in node.args]
        match node.func.name:
            case "label_replace":
                _, target, _, source, _ = node.args
                self._need([source.val], arguments[0], str(node.args[0]))
                return arguments[0] | {str(target.val)}
            case "histogram_quantile":
                self._need(["le"], arguments[1], str(node.args[1]))
                return arguments[1] - {"le"}
            case "absent" | "vector" | "time":
                return frozenset()
        return arguments[0]

    def _need(self, names: Iterable[str], labels: Labels, what: str) -> None:
        missing = sorted(set(names) - labels)
        if missing:
            self.problems.append(f"no label {', '.join(missing)} at {what}")


def in_braces(template: str) -> Iterator[str]:
    """Names of labels in a legend of Grafana."""
    return iter(re.findall(r"{{\s*(\w+)\s*}}", template))


def in_annotation(template: str) -> Iterator[str]:
    """Names of labels in an annotation of an alert."""
    return iter(re.findall(r"\$labels\.(\w+)", template))


def _is(member: object, name: str) -> bool:
    return str(member).endswith(f".{name}")


def _has_number(node: promql.BinaryExpr) -> bool:
    return _is_number(node.lhs) or _is_number(node.rhs)


def _is_number(node: object) -> bool:
    if isinstance(node, promql.ParenExpr):
        return _is_number(node.expr)
    if isinstance(node, promql.Call):
        return bool(node.func.name == "time")
    return isinstance(node, promql.NumberLiteral)
