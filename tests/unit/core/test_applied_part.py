from __future__ import annotations

from typing import Any

from puna.core.ownership import applied_part, differs
from puna.core.plan import Manifest


def live(fields: dict[str, Any], **members: Any) -> Manifest:
    entry = {
        "manager": "puna",
        "operation": "Apply",
        "apiVersion": "batch/v1",
        "fieldsV1": fields,
    }
    metadata = {"name": "a", "namespace": "n", "uid": "u", "labels": {"ours": "1", "theirs": "2"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata | {"managedFields": [entry]},
        **members,
    }


CONTAINERS = [
    {"name": "trainer", "image": "a", "terminationMessagePath": "/dev/termination-log"},
    {"name": "injected", "image": "b"},
]
FIELDS = {
    "f:metadata": {"f:labels": {".": {}, "f:ours": {}}},
    "f:spec": {
        "f:suspend": {},
        "f:template": {
            "f:spec": {
                "f:containers": {'k:{"name":"trainer"}': {".": {}, "f:name": {}, "f:image": {}}},
                "f:tmp": {".": {}},
                "f:volumes": {
                    'k:{"name":"output"}': {".": {}, "f:name": {}},
                    'k:{"name":"run"}': {".": {}, "f:name": {}},
                },
            }
        },
    },
}


def test_what_was_applied_is_found_again_and_nothing_else() -> None:
    there = live(
        FIELDS,
        spec={
            "suspend": True,
            "backoffLimit": 6,
            "template": {
                "spec": {
                    "containers": CONTAINERS,
                    "volumes": [{"name": "run"}, {"name": "other"}, {"name": "output"}],
                    "tmp": {},
                    "dnsPolicy": "x",
                }
            },
        },
    )
    part = applied_part(there)
    assert part == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "a", "namespace": "n", "labels": {"ours": "1"}},
        "spec": {
            "suspend": True,
            "template": {
                "spec": {
                    "containers": [{"name": "trainer", "image": "a"}],
                    # In the order that they have, whatever the order of the field set.
                    "volumes": [{"name": "run"}, {"name": "output"}],
                    "tmp": {},
                }
            },
        },
    }
    assert not differs(part, there)


def test_of_somebody_elses_object_nothing_is_ours() -> None:
    theirs = live(FIELDS) | {"metadata": {"name": "a", "namespace": "n"}}
    assert applied_part(theirs) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "a", "namespace": "n"},
    }
