from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from puna.api.llmendpoint_status import RevisionRole
from puna.api.pool import Accelerator
from puna.endpoint.revision import build_revision, stored_revisions
from puna.settings import DEFAULT_ACCELERATORS, AcceleratorProfile
from tests.factories import (
    CREATED,
    NAME,
    NAMESPACE,
    NOW,
    endpoint,
    preset,
    revision,
    settings,
    stored,
)

OTHER = endpoint(model={"uri": "file:///srv/models/other.gguf"})


@pytest.mark.parametrize("role", RevisionRole)
def test_a_revision_is_read_as_it_was_stored(role: RevisionRole) -> None:
    resource = endpoint(presetRef={"name": "balanced"})
    own = preset(sampling={"temperature": 1}, server={"slots": 2}, prompt={"system": "Brief."})
    made = revision(resource, own, role=role, proven=True, promoted_at=NOW)
    manifest = json.loads(json.dumps(stored(made, number=4)))
    (read,) = stored_revisions([manifest])
    assert read == replace(made, created_at=CREATED, number=4, raw=manifest["data"])


def test_a_stored_revision_is_applied_again_as_it_is() -> None:
    manifest = stored(revision(), number=4)
    manifest["data"]["of a later version"] = {"kept": True}
    (read,) = stored_revisions([manifest])
    again = build_revision(read, namespace=NAMESPACE, endpoint=NAME, next_number=9)
    assert again["data"] == manifest["data"]
    assert again["revision"] == 4


def test_a_new_revision_takes_the_next_number() -> None:
    made = build_revision(revision(), namespace=NAMESPACE, endpoint=NAME, next_number=9)
    assert made["revision"] == 9
    assert made["metadata"]["name"] == f"chat-{revision().name}"


def test_role_merit_and_promotion_are_outside_the_immutable_data() -> None:
    plain, served = revision(), revision(proven=True, promoted_at=NOW, role=RevisionRole.RETIRED)
    one, other = (
        build_revision(item, namespace=NAMESPACE, endpoint=NAME, next_number=1)
        for item in (plain, served)
    )
    assert one["data"] == other["data"]
    assert other["metadata"]["labels"] | {"puna.dev/role": "stable"} == one["metadata"][
        "labels"
    ] | {"puna.dev/proven": "true"}
    assert other["metadata"]["annotations"] == {"puna.dev/promoted-at": NOW.isoformat()}


def test_revisions_are_read_newest_first_and_without_those_that_go() -> None:
    old, new, leaving = (
        stored(revision()),
        stored(revision(OTHER), created=CREATED + timedelta(seconds=1)),
        stored(revision(endpoint(name="code"))),
    )
    leaving["metadata"]["deletionTimestamp"] = NOW.isoformat()
    foreign = stored(revision())
    del foreign["metadata"]["labels"]
    names = [item.name for item in stored_revisions([old, leaving, new, foreign])]
    assert names == [revision(OTHER).name, revision().name]


def test_a_revision_keeps_the_hardware_profiles_of_its_day() -> None:
    newer = settings(
        accelerators={
            kind: AcceleratorProfile(
                image="registry.example/llama-server:2",
                trainer_image=DEFAULT_ACCELERATORS[kind].trainer_image,
            )
            for kind in Accelerator
        }
    )
    for kind in Accelerator:
        assert revision().profile(kind, newer) == DEFAULT_ACCELERATORS[kind]


def test_an_accelerator_added_since_has_todays_profile() -> None:
    made = revision()
    profiles = {"cpu": made.data.accelerators["cpu"]}
    old = replace(made, data=made.data.model_copy(update={"accelerators": profiles}))
    assert old.profile(Accelerator.CUDA, settings()) == DEFAULT_ACCELERATORS[Accelerator.CUDA]
