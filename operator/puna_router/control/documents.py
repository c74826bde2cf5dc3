"""ConfigMaps as documents of endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from puna_router.config import CONFIG_KEY, LABEL_ENDPOINT, EndpointConfig, config_digest


@dataclass(frozen=True, slots=True)
class Document:
    """The newest document of one endpoint."""

    endpoint: str
    digest: str
    config: EndpointConfig | None
    """None where it cannot be read; then `problem` says why."""
    problem: str | None = None


def from_config_map(config_map: dict[str, Any]) -> Document | None:
    """The document in a ConfigMap; None where it names no endpoint at all."""
    metadata = config_map["metadata"]
    label = metadata.get("labels", {}).get(LABEL_ENDPOINT)
    text = config_map.get("data", {}).get(CONFIG_KEY)
    if text is None:
        if label is None:
            return None
        missing = f"ConfigMap {metadata['name']} has no key {CONFIG_KEY}"
        return Document(endpoint=label, digest=config_digest(""), config=None, problem=missing)
    return from_text(text, label)


def from_text(text: str, endpoint: str | None) -> Document | None:
    """The document in a text that should be of `endpoint`."""
    digest = config_digest(text)
    try:
        config = EndpointConfig.model_validate_json(text)
    except ValidationError as error:
        if endpoint is None:
            return None
        return Document(endpoint=endpoint, digest=digest, config=None, problem=plainly(error))
    if endpoint is not None and config.name != endpoint:
        other = f"name: {config.name!r} is not {endpoint!r}, which the label says"
        return Document(endpoint=endpoint, digest=digest, config=None, problem=other)
    problem = _conflict(config)
    return Document(
        endpoint=config.name,
        digest=digest,
        config=None if problem else config,
        problem=problem,
    )


def by_endpoint(documents: Mapping[str, Document | None]) -> dict[str, Document]:
    """Documents by endpoint, from those by ConfigMap.

    Of two for one endpoint that counts which comes first by the name of its ConfigMap.
    """
    found: dict[str, Document] = {}
    for _, document in sorted(documents.items()):
        if document is not None:
            found.setdefault(document.endpoint, document)
    return dict(sorted(found.items()))


def _conflict(config: EndpointConfig) -> str | None:
    names = [revision.name for revision in config.revisions]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"revisions: {', '.join(twice)} is there twice" if twice else None


def plainly(error: ValidationError) -> str:
    """Each problem with the field it is in."""
    problems = (
        f"{'.'.join(str(part) for part in problem['loc']) or 'document'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
    return "; ".join(problems)[:1000]
