from __future__ import annotations

from typing import Any

import pytest

from puna_router.control.peers import place


def pod(name: str, *, ready: str = "True", deleted: bool = False) -> dict[str, Any]:
    metadata = {"name": name, **({"deletionTimestamp": "now"} if deleted else {})}
    status = {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": metadata, "status": status}


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], (1, 0)),
        ([pod("b")], (1, 0)),
        ([pod("b", ready="False")], (1, 0)),
        ([pod("a"), pod("b")], (2, 1)),
        ([pod("a"), pod("b", ready="False"), pod("c")], (3, 1)),
        ([pod("a", ready="False"), pod("b"), pod("c", deleted=True)], (1, 0)),
    ],
)
def test_ready_routers_share_and_this_one_always_does(
    pods: list[dict[str, Any]], expected: tuple[int, int]
) -> None:
    assert expected == place(pods, "b")
