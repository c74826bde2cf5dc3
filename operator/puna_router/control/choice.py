"""Choice of the documents to run: the newest that Envoy takes, else the last good one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
            documents[endpoint] = last_good[endpoint]
    return Choice(documents, refused, pending)


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
