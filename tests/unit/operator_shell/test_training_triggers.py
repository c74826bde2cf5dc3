"""Who looks again after a change of a training run."""

from __future__ import annotations

from typing import Any

from puna.cluster.resources import BY_KIND
from puna.core.keyed_queue import Key
from puna.core.naming import training_labels
from puna.core.plan import Manifest, Ref
from puna.store import Change, Store
from puna.triggers import SETTLE_SECONDS, Wake, endpoint_key, initial_wakes, training_key, wakes
from tests.unit.operator_shell.objects import TEAM, endpoint, live

TINY = training_key(Ref(TEAM, "tiny"))
CHAT = endpoint_key(Ref(TEAM, "chat"))
FOLLOWING = endpoint(spec={"model": {"trainingJobRef": {"name": "tiny", "artifact": "Q8_0"}}})


SELECTING = endpoint(
    spec={
        "model": {
            "trainingJobRef": {"selector": {"matchLabels": {"model": "a"}}, "artifact": "Q8_0"}
        }
    }
)


def job(
    *,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **members: Any,
) -> Manifest:
    metadata = {"annotations": annotations or {}, "labels": labels or {}}
    return live(
        "TrainingJob",
        "tiny",
        api_version="puna.dev/v1alpha1",
        metadata=metadata,
        **({"spec": {"task": "LanguageModel"}} | members),
    )


def part(kind: str, **members: Any) -> Manifest:
    return live(kind, "tiny-1", metadata={"labels": training_labels("tiny", 1)}, **members)


def woken(before: Manifest | None, after: Manifest | None, *others: Manifest) -> dict[Key, Wake]:
    store = Store(lambda _: None)
    for item in (*others, *([after] if after is not None else [])):
        store.changed(BY_KIND[item["kind"]], "ADDED", item)
    return {wake.key: wake for wake in wakes(Change(before, after), store)}


def test_a_new_or_changed_run_is_urgent() -> None:
    assert woken(None, job()) == {TINY: Wake(TINY, urgent=True)}
    paused = job(spec={"task": "LanguageModel", "suspend": True})
    assert woken(job(), paused) == {TINY: Wake(TINY, urgent=True)}


def test_an_ordered_retry_is_urgent_and_other_annotations_are_not() -> None:
    ordered = job(annotations={"puna.dev/retry": "1"})
    assert woken(job(), ordered) == {TINY: Wake(TINY, urgent=True)}
    other = job(annotations={"example.org/a": "1"})
    assert woken(job(), other) == {TINY: Wake(TINY, delay=SETTLE_SECONDS)}


def test_what_a_run_is_made_of_wakes_the_run_and_no_router() -> None:
    pod = part("Pod", status={"phase": "Running"})
    assert woken(pod, pod | {"status": {"phase": "Succeeded"}}) == {TINY: Wake(TINY)}
    assert woken(part("Job", spec={}), None) == {TINY: Wake(TINY, urgent=True)}
    ended = part("Job", spec={}, status={"conditions": [{"type": "Complete", "status": "True"}]})
    assert woken(part("Job", spec={}), ended) == {TINY: Wake(TINY, delay=SETTLE_SECONDS)}


def test_a_verified_file_wakes_the_endpoint_that_follows_it() -> None:
    status = {"artifacts": [{"name": "Q8_0"}]}
    assert CHAT in woken(job(), job(status=status), FOLLOWING)
    assert CHAT not in woken(job(), job(status={"progress": {"step": 1}}), FOLLOWING)
    assert CHAT not in woken(job(), job(status=status), endpoint())
    assert set(woken(job(), None, FOLLOWING)) == {CHAT}


def test_a_selected_run_wakes_the_endpoint_when_it_is_complete_and_when_its_labels_change() -> None:
    wanted, other = {"model": "a"}, {"model": "b"}
    status = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert CHAT in woken(job(labels=wanted), job(labels=wanted, status=status), SELECTING)
    assert CHAT not in woken(job(labels=other), job(labels=other, status=status), SELECTING)
    assert CHAT in woken(job(labels=wanted), job(labels=other), SELECTING)
    assert CHAT in woken(job(labels=other), job(labels=wanted), SELECTING)
    assert CHAT in woken(job(labels=wanted), None, SELECTING)


def test_every_run_is_looked_at_after_a_start() -> None:
    store = Store(lambda _: None)
    store.changed(BY_KIND["TrainingJob"], "ADDED", job())
    assert [wake.key for wake in initial_wakes(store)] == [TINY]
