"""Choice of the documents to run: the newest that Envoy takes, else the last good one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from puna_router.config import EndpointConfig
from puna_router.control.documents import Document


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a document."""

    problem: str | None = None
    """Why it is refused."""
    pending: bool = False
    """Envoy has not been asked yet."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to run, and what is refused, by endpoint."""

    documents: dict[str, Document]
    refused: dict[str, str]
    pending: bool
    """A document waits for its verdict; the choice will be another one."""


def choose(
    newest: Mapping[str, Document],
    judge: Callable[[EndpointConfig], Verdict],
    last_good: Mapping[str, Document],
) -> Choice:
    """Choose for each endpoint that has a document; those without one are gone."""
    documents, refused, pending = {}, {}, False
    for endpoint, document in newest.items():
        verdict = Verdict(document.problem)
        if document.config is not None:
            verdict = judge(document.config)
        if verdict.problem is not None:
            refused[endpoint] = verdict.problem
        pending = pending or verdict.pending
        good = verdict.problem is None and not verdict.pending
        if good:
            documents[endpoint] = document
        elif endpoint in last_good:
            documents[endpoint] = closed(last_good[endpoint], document.config)
    return Choice(documents, refused, pending)


def closed(running: Document, newest: EndpointConfig | None) -> Document:
    """A document without what a newer one takes away, and with the keys that it requires.

    That one is refused, or not judged yet, which takes Envoy up to a second; but what it closes
    must not stay open meanwhile. It opens nothing.
    """
    config = running.config
    if config is None or newest is None:
        return running
    update: dict[str, Any] = {}
    if newest.access is not None and config.access != newest.access:
        update["access"] = newest.access
    if config.shadow is not None and newest.shadow is None:
        update["shadow"] = None
    weights = {revision.name: revision.weight for revision in newest.revisions}
    left = [revision for revision in config.revisions if weights.get(revision.name)]
    served = [revision for revision in config.revisions if revision.weight]
    if left and any(revision not in left for revision in served):
        update["revisions"] = tuple(
            revision.model_copy(update={"weight": weights.get(revision.name, 0)})
            for revision in config.revisions
        )
    return replace(running, config=config.model_copy(update=update)) if update else running


def culprits(
    details: tuple[str, ...], running: Mapping[str, Document], choice: Choice
) -> dict[str, Document]:
    """Documents that may be what the running Envoy refused: those it names, else all new ones."""
    new = {
        endpoint: document
        for endpoint, document in choice.documents.items()
        if running.get(endpoint) != document
    }
    text = " ".join(details)
    named = {endpoint: document for endpoint, document in new.items() if _names(text, document)}
    return named or new


def _names(text: str, document: Document) -> bool:
    config = document.config
    if config is None:
        return False
    return any(f"{config.name}-{revision.name}" in text for revision in config.revisions)
