from __future__ import annotations

from dataclasses import replace

import pytest

from puna_router.config import AccessConfig, EndpointConfig, RevisionConfig, ShadowConfig
from puna_router.control.choice import Choice, Verdict, choose, closed, culprits
from puna_router.control.documents import Document


def document(
    name: str, digest: str, *, revision: str = "aaaaaaaa", access: AccessConfig | None = None
) -> Document:
    revisions = (RevisionConfig(name=revision, process="00000001", weight=100),)
    config = EndpointConfig(name=name, port=1, created=0, revisions=revisions, access=access)
    return Document(name, digest, config)


GOOD = document("chat", "1")
NEXT = document("chat", "2", revision="bbbbbbbb")


def judged(verdict: Verdict, last_good: dict[str, Document]) -> Choice:
    return choose({"chat": NEXT}, lambda _: verdict, last_good)


def test_the_newest_document_runs_if_envoy_takes_it() -> None:
    assert Choice({"chat": NEXT}, {}, pending=False) == judged(Verdict(), {"chat": GOOD})


def test_a_refused_document_leaves_the_last_good_one() -> None:
    expected = Choice({"chat": GOOD}, {"chat": "bad"}, pending=False)
    assert expected == judged(Verdict("bad"), {"chat": GOOD})


def test_a_refused_document_without_an_older_one_runs_nothing() -> None:
    assert Choice({}, {"chat": "bad"}, pending=False) == judged(Verdict("bad"), {})


def test_until_there_is_a_verdict_the_last_good_one_runs() -> None:
    expected = Choice({"chat": GOOD}, {}, pending=True)
    assert expected == judged(Verdict(pending=True), {"chat": GOOD})


@pytest.mark.parametrize("verdict", [Verdict("bad"), Verdict(pending=True)])
def test_what_a_document_closes_does_not_wait_for_its_verdict(verdict: Verdict) -> None:
    keys, others = AccessConfig(secret="keys"), AccessConfig(secret="others")
    wanted = document("chat", "2", revision="bbbbbbbb", access=keys)
    for before in (None, others):
        last_good = {"chat": document("chat", "1", access=before)}
        found = choose({"chat": wanted}, lambda _: verdict, last_good).documents["chat"]
        assert found == document("chat", "1", access=keys)


def test_a_document_without_a_verdict_opens_nothing() -> None:
    keyed = document("chat", "1", access=AccessConfig(secret="keys"))
    assert closed(keyed, NEXT.config) is keyed
    assert closed(keyed, keyed.config) is keyed
    assert closed(keyed, None) is keyed


def split(digest: str, **weights: int) -> Document:
    """A document with revisions by their weights."""
    whole = document("chat", digest)
    assert whole.config is not None
    revisions = tuple(
        RevisionConfig(name=name * 8, process="00000001", weight=weight)
        for name, weight in weights.items()
    )
    return replace(whole, config=whole.config.model_copy(update={"revisions": revisions}))


def weights_of(found: Document) -> dict[str, int]:
    assert found.config is not None
    return {revision.name[0]: revision.weight for revision in found.config.revisions}


def test_a_revision_that_a_document_without_a_verdict_leaves_out_gets_nothing_more() -> None:
    running = split("1", a=50, b=50)
    assert weights_of(closed(running, split("2", a=100).config)) == {"a": 100, "b": 0}
    assert weights_of(closed(running, split("2", a=100, b=0).config)) == {"a": 100, "b": 0}
    assert weights_of(closed(running, split("2", a=90, c=10).config)) == {"a": 90, "b": 0}


def test_what_a_document_without_a_verdict_would_add_waits() -> None:
    running = split("1", a=100)
    assert closed(running, split("2", a=90, c=10).config) is running
    assert closed(running, split("2", c=100).config) is running


def test_copies_end_with_the_document_that_asks_for_none() -> None:
    running = split("1", a=100, b=0)
    assert running.config is not None
    shadow = ShadowConfig(revision="b" * 8, percent=10)
    copying = replace(running, config=running.config.model_copy(update={"shadow": shadow}))
    found = closed(copying, running.config)
    assert found.config is not None
    assert found.config.shadow is None


def test_an_endpoint_without_a_document_is_gone() -> None:
    assert Choice({}, {}, pending=False) == choose({}, lambda _: Verdict(), {"chat": GOOD})


def test_a_document_that_cannot_be_read_is_refused_with_its_problem() -> None:
    unreadable = Document("chat", "3", None, "port: too large")
    found = choose({"chat": unreadable}, lambda _: Verdict(), {"chat": GOOD})
    assert Choice({"chat": GOOD}, {"chat": "port: too large"}, pending=False) == found


def test_of_new_documents_those_are_taken_back_that_envoy_names() -> None:
    other = document("code", "1")
    choice = Choice({"chat": NEXT, "code": other}, {}, pending=False)
    named = culprits(("cluster chat-bbbbbbbb: no",), {"chat": GOOD}, choice)
    assert named == {"chat": NEXT}
    assert {"chat": NEXT, "code": other} == culprits(("no",), {"chat": GOOD}, choice)
    assert culprits(("no",), choice.documents, choice) == {}
