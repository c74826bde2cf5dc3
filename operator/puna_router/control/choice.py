"""Choice of the documents to run: the newest that Envoy takes, else the last good one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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
    """A document with the keys that a newer one requires, if it requires any.

    That one is refused, or not judged yet; but what it closes must not stay open meanwhile. It
    opens nothing.
    """
    wanted = newest.access if newest else None
    if wanted is None or running.config is None or running.config.access == wanted:
        return running
    return replace(running, config=running.config.model_copy(update={"access": wanted}))


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
