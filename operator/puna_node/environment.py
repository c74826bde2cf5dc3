"""Environment of a container from its spec. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from puna_node.expand import expand
from puna_node.fields import Downward, field_value, resource_value
from puna_node.manifest import Manifest
from puna_node.sources import CONFIG_MAP, SECRET, SourceRef, Sources, all_keys, one_key
from puna_node.variables import allowed_variable

_VALID_NAME: Final = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")


def resolve_environment(
    container: Manifest,
    sources: Sources,
    downward: Downward,
    *,
    base: Mapping[str, str],
    rewrite: Callable[[str], str],
) -> dict[str, str]:
    """Variables of a container: `envFrom`, then `env` in their order; `base` wins over both.

    `rewrite` is applied to every text before references in it expand: what they expand to has been
    rewritten already, or is of this host.

    Raises:
        MissingSourceError: a ConfigMap, Secret or key is not there and not optional.
        UnknownFieldError: a field that the downward API does not have.
        RefusedVariableError: a variable that a Pod may not set.
    """
    variables = dict(base)
    for entry in container.get("envFrom") or ():
        for name, text in _all_of(entry, sources).items():
            variables[allowed_variable(name)] = rewrite(text)
    for entry in container.get("env") or ():
        name = allowed_variable(entry["name"])
        value = _value(entry, container["name"], sources, downward)
        if value is not None:
            value = rewrite(value)
            is_literal = not entry.get("valueFrom")
            variables[name] = expand(value, variables) if is_literal else value
    return {**variables, **base}


def _all_of(entry: Manifest, sources: Sources) -> dict[str, str]:
    kind, reference = (
        (CONFIG_MAP, entry["configMapRef"])
        if "configMapRef" in entry
        else (SECRET, entry["secretRef"])
    )
    data = all_keys(
        SourceRef(kind, reference["name"]), sources, optional=bool(reference.get("optional"))
    )
    prefix = entry.get("prefix", "")
    return {
        prefix + key: value.decode()
        for key, value in data.items()
        if _VALID_NAME.match(prefix + key)
    }


def _value(
    entry: Manifest,
    container_name: str,
    sources: Sources,
    downward: Downward,
) -> str | None:
    origin = entry.get("valueFrom")
    if not origin:
        return entry.get("value") or ""
    if "fieldRef" in origin:
        return field_value(origin["fieldRef"]["fieldPath"], downward)
    if "resourceFieldRef" in origin:
        return resource_value(origin["resourceFieldRef"], downward, container_name)
    kind, reference = (
        (CONFIG_MAP, origin["configMapKeyRef"])
        if "configMapKeyRef" in origin
        else (SECRET, origin["secretKeyRef"])
    )
    value = one_key(
        SourceRef(kind, reference["name"]),
        reference["key"],
        sources,
        optional=bool(reference.get("optional")),
    )
    return None if value is None else value.decode()
